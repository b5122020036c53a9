/* net/ws_frame.c — see ws_frame.h.  RFC 6455, 5.2 and 5.3. */
#include "net/ws_frame.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

#define FIN 0x80U
#define RESERVED 0x70U
#define MASKED 0x80U
#define MAX_CONTROL 125U
#define MASK_LEN 4U
#define KEY_LEN 24U

static void unmask(char *p, size_t n, const char mask[MASK_LEN])
{
	uint64_t wide;
	size_t i = 0;

	memcpy(&wide, mask, MASK_LEN);
	memcpy((char *)&wide + MASK_LEN, mask, MASK_LEN);
	for (; n - i >= sizeof(wide); i += sizeof(wide)) {
		uint64_t word;

		memcpy(&word, p + i, sizeof(word));
		word ^= wide;
		memcpy(p + i, &word, sizeof(word));
	}
	for (; i < n; i++)
		p[i] = (char)(p[i] ^ mask[i % MASK_LEN]);
}

static bool opcode_ok(unsigned opcode)
{
	return opcode <= NET_WS_BINARY || (opcode >= NET_WS_CLOSE && opcode <= NET_WS_PONG);
}

/* Bytes of the length field after the second byte. */
static size_t extra_length(unsigned short_length)
{
	if (short_length < 126)
		return 0;
	return short_length == 126 ? 2 : 8;
}

/* False for a length that is not in its shortest form. */
static bool read_length(const char *p, unsigned short_length, uint64_t *out)
{
	size_t extra = extra_length(short_length);
	uint64_t length = extra == 0 ? short_length : 0;

	for (size_t i = 0; i < extra; i++)
		length = length << 8 | (uint8_t)p[2 + i];
	*out = length;
	if (extra == 2)
		return length > 125;
	return extra == 0 || (length > UINT16_MAX && length >> 63 == 0);
}

enum net_ws_result net_ws_decode(char *p, size_t n, size_t max_payload, struct net_ws_frame *out)
{
	if (n < 2)
		return NET_WS_MORE;
	unsigned first = (uint8_t)p[0];
	unsigned second = (uint8_t)p[1];
	unsigned opcode = first & 0x0fU;
	unsigned short_length = second & 0x7fU;
	bool is_control = opcode >= NET_WS_CLOSE;

	if ((first & RESERVED) != 0 || !opcode_ok(opcode) || (second & MASKED) == 0)
		return NET_WS_PROTOCOL;
	if (is_control && (short_length > MAX_CONTROL || (first & FIN) == 0))
		return NET_WS_PROTOCOL;

	size_t head = 2 + extra_length(short_length) + MASK_LEN;
	uint64_t length;

	if (n < head)
		return NET_WS_MORE;
	if (!read_length(p, short_length, &length))
		return NET_WS_PROTOCOL;
	if (!is_control && length > max_payload)
		return NET_WS_TOO_BIG;
	out->size = head + (size_t)length;
	if (n < out->size)
		return NET_WS_MORE;
	unmask(p + head, (size_t)length, p + head - MASK_LEN);
	out->opcode = (enum net_ws_opcode)opcode;
	out->fin = (first & FIN) != 0;
	out->payload = (struct ev_str){ p + head, (size_t)length };
	return NET_WS_FRAME;
}

size_t net_ws_header(uint8_t out[NET_WS_MAX_HEADER], enum net_ws_opcode opcode, size_t len)
{
	out[0] = (uint8_t)(FIN | (unsigned)opcode);
	if (len < 126) {
		out[1] = (uint8_t)len;
		return 2;
	}
	size_t extra = len <= UINT16_MAX ? 2 : 8;

	out[1] = extra == 2 ? 126 : 127;
	for (size_t i = 0; i < extra; i++)
		out[2 + i] = (uint8_t)((uint64_t)len >> (8 * (extra - 1 - i)));
	return 2 + extra;
}

bool net_ws_close_code_ok(unsigned code)
{
	if (code >= 3000 && code <= 4999)
		return true;
	return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}

/* 16 bytes in base64: 22 characters and two of padding. */
static bool is_key(struct ev_str key)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	if (key.n != KEY_LEN || key.p[22] != '=' || key.p[23] != '=')
		return false;
	for (size_t i = 0; i < 22; i++) {
		if (memchr(digits, key.p[i], sizeof(digits) - 1) == NULL)
			return false;
	}
	return true;
}

ev_err net_ws_accept_key(struct ev_str key, char out[NET_WS_ACCEPT_LEN + 1])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455, 1.3 */
	unsigned char text[KEY_LEN + sizeof(guid) - 1];
	unsigned char digest[SHA_DIGEST_LENGTH];

	if (!is_key(key))
		return EV_INVALID;
	memcpy(text, key.p, KEY_LEN);
	memcpy(text + KEY_LEN, guid, sizeof(guid) - 1);
	if (SHA1(text, sizeof(text), digest) == NULL)
		return EV_INVALID;
	(void)EVP_EncodeBlock((unsigned char *)out, digest, sizeof(digest)); /* always 28 */
	return EV_OK;
}
