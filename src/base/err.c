#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

#define ERR_TEXT(code, text) [code] = (text),
static const char *const err_texts[EV_ERR_COUNT] = { EV_ERR_LIST(ERR_TEXT) };
#undef ERR_TEXT

const char *ev_err_text(ev_err e)
{
	return (unsigned)e < EV_ERR_COUNT ? err_texts[e] : "unknown error";
}

ev_err ev_fail_set(struct ev_fail *fail, ev_err code, int sys, const char *fmt, ...)
{
	va_list args;

	if (fail == NULL)
		return code;
	fail->code = code;
	fail->sys = sys;
	va_start(args, fmt);
	if (vsnprintf(fail->text, sizeof(fail->text), fmt, args) < 0)
		fail->text[0] = '\0';
	va_end(args);
	return code;
}
