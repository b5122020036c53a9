/*
 * engine/aws/xml.h — just enough XML to read what STS answers: elements and text.
 *
 * Strict and bounded: no document type, no CDATA, no entities but the five of XML and characters by
 * number, at most AWS_XML_DEPTH deep.  Attributes are checked and passed over.  Allocates nothing.
 */
#ifndef EV_AWS_XML_H
#define EV_AWS_XML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define AWS_XML_DEPTH 16
#define AWS_XML_PATH 256 /* bytes of all names down to the deepest element, with slashes */

/* One wanted text. */
struct aws_xml_field {
	const char *path;  /* from the root down: "Root/Child/Leaf" */
	struct ev_buf out; /* the caller's room; the text is appended as UTF-8 */
	bool found;
};

/*
 * Reads the whole document; texts of other elements are checked and dropped.  What is wanted but
 * missing is not found, which is for the caller to judge.  EV_INVALID: not such a document, or a
 * wanted element comes twice.  EV_FULL: a text does not fit its room.  After either the fields
 * hold nothing of use.
 */
EV_NODISCARD ev_err aws_xml_read(struct ev_str doc, struct aws_xml_field fields[], size_t n);

#endif
