/* cli/ws_frame.c — the pure part of cli/ws_client.h: frames and the accept key. */
#include <string.h>

#include <openssl/evp.h>

#include "base/hash.h"
#include "cli/ws_client.h"

#define FIN 0x80U
#define RESERVED 0x70U
#define OPCODE 0x0FU
#define MASKED 0x80U
#define LENGTH 0x7FU
#define LENGTH_16 126U
#define LENGTH_64 127U
#define CONTROL 0x08U
#define CONTROL_MAX 125U
#define KEY_MAX 64

static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 §1.3 */

/* The length after the first two bytes, with the bytes it takes. */
static ev_err decode_length(const uint8_t *p, size_t n, uint64_t *out_length, size_t *out_used)
{
	unsigned form = p[1] & LENGTH;
	size_t extra = form == LENGTH_64 ? 8 : form == LENGTH_16 ? 2 : 0;
	uint64_t length = 0;

	if (n < 2 + extra)
		return EV_NOTFOUND;
	for (size_t i = 0; i < extra; i++)
		length = length << 8 | p[2 + i];
	if (extra == 0)
		length = form;
	if ((extra == 2 && length < LENGTH_16) || (extra == 8 && length <= UINT16_MAX))
		return EV_INVALID;
	*out_length = length;
	*out_used = 2 + extra;
	return EV_OK;
}

static ev_err check_first_bytes(const uint8_t *p)
{
	unsigned opcode = p[0] & OPCODE;
	bool known = opcode <= WS_BINARY || (opcode >= WS_CLOSE && opcode <= WS_PONG);

	if (!known || (p[0] & RESERVED) != 0 || (p[1] & MASKED) != 0)
		return EV_INVALID;
	if ((opcode & CONTROL) != 0 && ((p[0] & FIN) == 0 || (p[1] & LENGTH) > CONTROL_MAX))
		return EV_INVALID;
	return EV_OK;
}

ev_err ws_frame_decode(struct ev_str in, struct ws_frame *out, size_t *out_used)
{
	const uint8_t *p = (const uint8_t *)in.p;
	uint64_t length;
	size_t used;

	if (in.n < 2)
		return EV_NOTFOUND;
	ev_err e = check_first_bytes(p);

	if (e == EV_OK)
		e = decode_length(p, in.n, &length, &used);
	if (e != EV_OK)
		return e;
	if (length > WS_MESSAGE_MAX)
		return EV_FULL;
	if (in.n - used < length)
		return EV_NOTFOUND;
	*out = (struct ws_frame){ .fin = (p[0] & FIN) != 0,
				  .opcode = p[0] & OPCODE,
				  .payload = { in.p + used, (size_t)length } };
	*out_used = used + (size_t)length;
	return EV_OK;
}

size_t ws_frame_header(char out[WS_HEADER_MAX], unsigned opcode, size_t payload_len,
		       const uint8_t mask[4])
{
	size_t extra = payload_len > UINT16_MAX ? 8 : payload_len > CONTROL_MAX ? 2 : 0;
	size_t form = extra == 8 ? LENGTH_64 : extra == 2 ? LENGTH_16 : payload_len;

	out[0] = (char)(FIN | opcode);
	out[1] = (char)(MASKED | form);
	for (size_t i = 0; i < extra; i++)
		out[2 + i] = (char)(payload_len >> (8 * (extra - 1 - i)) & 0xFF);
	memcpy(out + 2 + extra, mask, 4);
	return 2 + extra + 4;
}

void ws_mask(char *p, size_t n, const uint8_t mask[4])
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)((uint8_t)p[i] ^ mask[i % 4]);
}

void ws_accept_text(struct ev_str key, char out[29])
{
	char joined[KEY_MAX + sizeof(guid)];
	uint8_t digest[EV_SHA1_SIZE];
	size_t n = key.n < KEY_MAX ? key.n : KEY_MAX;

	memcpy(joined, key.p, n);
	memcpy(joined + n, guid, sizeof(guid) - 1);
	ev_sha1(joined, n + sizeof(guid) - 1, digest);
	(void)EVP_EncodeBlock((unsigned char *)out, digest, sizeof(digest)); /* writes 28 and NUL */
}
