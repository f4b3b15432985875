/* One element as it is printed: {"tag": "Read", "time": 1700000000000000, "data": "…", "attributes": {…}}.
 * Payloads are bytes; most are text, and are printed as such, and those that are not as {"base64": "…"}. */
#include "element.h"

#include <inttypes.h>

#include "../../messages/wire.h"
#include "print.h"

bool element_bin(bytes_t value, bytes_t *ret_bytes) {
    if (value.size == 0 || value.data[0] < 0xc4 || value.data[0] > 0xc6) {
        return false;
    }
    size_t header = value.data[0] == 0xc4 ? 2 : value.data[0] == 0xc5 ? 3 : 5;
    *ret_bytes = (bytes_t){value.data + header, value.size - header};
    return true;
}

static void attribute_print(FILE *out, bytes_t value) {
    const char *text;
    bytes_t bytes = {0};
    if (wire_text(value, &text, &bytes.size)) {
        bytes.data = (const uint8_t *)text;
    } else {
        element_bin(value, &bytes);
    }
    print_data(out, bytes);
}

/* Keys are text, as the engine has checked. */
static void attributes_print(FILE *out, bytes_t map) {
    size_t header = map.data[0] == 0xdf ? 5 : map.data[0] == 0xde ? 3 : 1;
    bytes_t rest = {map.data + header, map.size - header};
    fputs(",\"attributes\":{", out);
    for (size_t i = 0; rest.size > 0; i++) {
        size_t size = wire_value_size(rest);
        if (size == 0) {
            break;
        }
        if (i > 0) {
            putc_unlocked(i % 2 ? ':' : ',', out);
        }
        attribute_print(out, (bytes_t){rest.data, size});
        rest = (bytes_t){rest.data + size, rest.size - size};
    }
    putc_unlocked('}', out);
}

void element_print_json(FILE *out, const element_t *element) {
    fputs_unlocked("{\"tag\":", out);
    print_json(out, element->tag);
    fprintf(out, ",\"time\":%" PRId64 ",\"data\":", element->event_time);
    print_data(out, element->payload);
    if (element->attributes.size > 0) {
        attributes_print(out, element->attributes);
    }
    putc_unlocked('}', out);
}

void element_print_raw(FILE *out, const element_t *element) {
    fwrite_unlocked(element->payload.data, 1, element->payload.size, out);
}

void element_print_hex(FILE *out, const element_t *element) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < element->payload.size; i++) {
        putc_unlocked(digits[element->payload.data[i] >> 4], out);
        putc_unlocked(digits[element->payload.data[i] & 15], out);
    }
}
