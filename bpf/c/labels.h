/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Trace and span of a goroutine, from its profiler labels (runtime/pprof.Do, SetGoroutineLabels), where the program
 * sets such. g.labels points to
 *
 *   up to Go 1.23   a map[string]string, of which one bucket is read: all entries where there are at most 8
 *   from Go 1.24 on a struct that begins with a slice of pairs of strings, of which the first 8 are read
 *
 * Only waits that become a record pay for it.
 */
#ifndef SYNCLINE_LABELS_H
#define SYNCLINE_LABELS_H

#include "maps.h"
#include "scratch.h"

/* Most labels looked at; also the entries of a map's bucket. */
#define MAX_LABELS 8
/* tophash of the first kind of cell that is in use (runtime/map.go, minTopHash). */
#define MAP_MIN_TOPHASH 5
#define TRACE_DIGITS 32
#define SPAN_DIGITS 16
/* Digits of the largest 64-bit number in decimal. */
#define DECIMAL_DIGITS 20
/* Longest name of a label that is looked at: "profile_id" and some. */
#define KEY_BYTES 16

struct go_string {
	__u64 data;
	__u64 len;
};

struct go_label {
	struct go_string key, value;
};

/* The labels that are of interest; len is 0 where there is none. */
struct trace_labels {
	struct go_string trace, span;
	__u64 span_may_be_decimal;
};

/* The head of runtime.hmap: entries, flags, log2 of the number of buckets, address of the buckets. */
struct go_map {
	__u64 count;
	__u8 flags, log2_buckets, rest[6];
	__u64 buckets;
};

/* runtime.bmap of a map[string]string: keys and values of its cells lie together. */
struct go_bucket {
	__u8 tophash[MAX_LABELS];
	struct go_string keys[MAX_LABELS];
	struct go_string values[MAX_LABELS];
};

/* The first eight characters of a name as they lie in memory. */
#define WORD(a, b, c, d, e, f, g, h)                                                                                   \
	((__u64)(a) | (__u64)(b) << 8 | (__u64)(c) << 16 | (__u64)(d) << 24 | (__u64)(e) << 32 | (__u64)(f) << 40 |    \
	 (__u64)(g) << 48 | (__u64)(h) << 56)

static __always_inline int is_trace_key(__u64 first, __u64 second)
{
	return !second && (first == WORD('t', 'r', 'a', 'c', 'e', '_', 'i', 'd') ||
			   first == WORD('t', 'r', 'a', 'c', 'e', '.', 'i', 'd') ||
			   first == WORD('t', 'r', 'a', 'c', 'e', ' ', 'i', 'd') ||
			   first == WORD('t', 'r', 'a', 'c', 'e', 'I', 'D', 0) ||
			   first == WORD('t', 'r', 'a', 'c', 'e', 'I', 'd', 0) ||
			   first == WORD('t', 'r', 'a', 'c', 'e', 'i', 'd', 0));
}

/* What Datadog's tracer sets, in decimal. */
#define SPAN_KEY_DECIMAL WORD('s', 'p', 'a', 'n', ' ', 'i', 'd', 0)

/* "profile_id" is what Pyroscope's bridge from OpenTelemetry calls the span. */
static __always_inline int is_span_key(__u64 first, __u64 second)
{
	if (second)
		return first == WORD('p', 'r', 'o', 'f', 'i', 'l', 'e', '_') && second == WORD('i', 'd', 0, 0, 0, 0, 0, 0);
	return first == WORD('s', 'p', 'a', 'n', '_', 'i', 'd', 0) || first == WORD('s', 'p', 'a', 'n', '.', 'i', 'd', 0) ||
	       first == WORD('s', 'p', 'a', 'n', 'I', 'D', 0, 0) || first == WORD('s', 'p', 'a', 'n', 'I', 'd', 0, 0) ||
	       first == WORD('s', 'p', 'a', 'n', 'i', 'd', 0, 0) || first == SPAN_KEY_DECIMAL;
}

/* Notes the label if it is one of interest and the first of its kind. */
static __always_inline void note_label(struct trace_labels *found, const struct go_string *key,
				       const struct go_string *value)
{
	__u64 name[2] = {};
	__u64 len = key->len;

	if (len >= KEY_BYTES)
		return;
	if (bpf_probe_read_user(name, len, (void *)key->data)) {
		count(COUNT_LABELS_FAULT);
		return;
	}
	if (!found->trace.len && is_trace_key(name[0], name[1])) {
		found->trace = *value;
	} else if (!found->span.len && is_span_key(name[0], name[1])) {
		found->span = *value;
		found->span_may_be_decimal = name[0] == SPAN_KEY_DECIMAL;
	}
}

static __always_inline void find_in_slice(struct trace_labels *found, __u64 labels)
{
	struct go_string slice = {}; /* its capacity, the third word, is of no use */
	struct go_label label;

	if (bpf_probe_read_user(&slice, sizeof(slice), (void *)labels)) {
		count(COUNT_LABELS_FAULT);
		return;
	}
	for (__u32 i = 0; i < MAX_LABELS && i < slice.len; i++) {
		if (bpf_probe_read_user(&label, sizeof(label), (void *)(slice.data + i * sizeof(label)))) {
			count(COUNT_LABELS_FAULT);
			return;
		}
		note_label(found, &label.key, &label.value);
	}
	if (slice.len > MAX_LABELS && !(found->trace.len && found->span.len))
		count(COUNT_LABELS_UNREAD);
}

static __always_inline void find_in_map(struct trace_labels *found, __u64 labels)
{
	struct go_string key, value;
	struct go_map map = {};
	__u8 tophash[MAX_LABELS] = {};
	__u64 at = 0;

	if (bpf_probe_read_user(&at, sizeof(at), (void *)labels) ||
	    (at && bpf_probe_read_user(&map, sizeof(map), (void *)at))) {
		count(COUNT_LABELS_FAULT);
		return;
	}
	if (!map.count)
		return;
	if (map.log2_buckets) {
		count(COUNT_LABELS_UNREAD);
		return;
	}
	if (bpf_probe_read_user(tophash, sizeof(tophash), (void *)map.buckets)) {
		count(COUNT_LABELS_FAULT);
		return;
	}
	for (__u32 i = 0; i < MAX_LABELS; i++) {
		__u64 keys = map.buckets + __builtin_offsetof(struct go_bucket, keys);
		__u64 values = map.buckets + __builtin_offsetof(struct go_bucket, values);

		if (tophash[i] < MAP_MIN_TOPHASH)
			continue;
		if (bpf_probe_read_user(&key, sizeof(key), (void *)(keys + i * sizeof(key))) ||
		    bpf_probe_read_user(&value, sizeof(value), (void *)(values + i * sizeof(value)))) {
			count(COUNT_LABELS_FAULT);
			return;
		}
		note_label(found, &key, &value);
	}
}

/* -1: it is no digit */
static __always_inline int hexadecimal_digit(__u8 c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 'a' - 'A';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 16 digits; false if they are none. */
static __always_inline int parse_hexadecimal(__u64 *into, const __u8 *text)
{
	__u64 number = 0;

	for (__u32 i = 0; i < SPAN_DIGITS; i++) {
		int digit = hexadecimal_digit(text[i]);

		if (digit < 0)
			return 0;
		number = number << 4 | (__u64)digit;
	}
	*into = number;
	return 1;
}

/* False also if it is beyond 64 bits. */
static __always_inline int parse_decimal(__u64 *into, const __u8 *text, __u64 len)
{
	__u64 number = 0;

	for (__u32 i = 0; i < DECIMAL_DIGITS && i < len; i++) {
		__u64 digit = (__u64)text[i] - '0';

		if (digit > 9 || number > (~0ULL - digit) / 10)
			return 0;
		number = number * 10 + digit;
	}
	*into = number;
	return 1;
}

/* 32 digits, or 16 where a tracer has short ids. */
static __always_inline int parse_trace(struct wait_record *record, __u8 *text, const struct go_string *value)
{
	if (value->len == TRACE_DIGITS) {
		if (bpf_probe_read_user(text, TRACE_DIGITS, (void *)value->data) ||
		    !parse_hexadecimal(&record->trace_id_high, text))
			return 0;
		return parse_hexadecimal(&record->trace_id_low, text + SPAN_DIGITS);
	}
	return value->len == SPAN_DIGITS && !bpf_probe_read_user(text, SPAN_DIGITS, (void *)value->data) &&
	       parse_hexadecimal(&record->trace_id_low, text);
}

static __always_inline int parse_span(struct wait_record *record, __u8 *text, const struct trace_labels *found)
{
	__u64 len = found->span.len;

	if (len > DECIMAL_DIGITS || bpf_probe_read_user(text, len, (void *)found->span.data))
		return 0;
	if (found->span_may_be_decimal && parse_decimal(&record->span_id, text, len))
		return 1;
	return len == SPAN_DIGITS && parse_hexadecimal(&record->span_id, text);
}

/* Into a record that has none yet. */
static __always_inline void read_trace(struct scratch *slot, const struct binary_layout *layout, __u64 g)
{
	struct wait_record *record = &slot->record;
	struct trace_labels found = {};
	__u64 labels = 0;

	if (layout->labels_form == LABELS_UNKNOWN)
		return;
	if (bpf_probe_read_user(&labels, sizeof(labels), (void *)(g + layout->g_labels))) {
		count(COUNT_LABELS_FAULT);
		return;
	}
	if (!labels)
		return;
	if (layout->labels_form == LABELS_SLICE)
		find_in_slice(&found, labels);
	else
		find_in_map(&found, labels);
	if (found.trace.len && !parse_trace(record, slot->text, &found.trace)) {
		record->trace_id_high = 0; /* that half may have been right */
		count(COUNT_LABELS_MALFORMED);
	}
	if (found.span.len && !parse_span(record, slot->text, &found))
		count(COUNT_LABELS_MALFORMED);
}

#endif
