/* An answer that is a no, on its way out and back in. Its text is made aside, so that a refusal can be wrapped in itself, and mended,
 * so that whatever went into it (a path, a text cut at the end) is UTF-8 that any client can read. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "codec.h"
#include "head.h"
#include "text.h"
#include "wire.h"

int refuse(refusal_t *no, error_code_t code, const char *field, const char *format, ...) {
    refusal_t made = {.code = code};
    va_list args;
    va_start(args, format);
    vsnprintf(made.message, sizeof made.message, format, args);
    va_end(args);
    snprintf(made.field, sizeof made.field, "%s", field != NULL ? field : "");
    text_mend(made.message);
    text_mend(made.field);
    *no = made;
    return -1;
}

static void text_pack(msgpack_packer *packer, const char *text) {
    msgpack_pack_str_with_body(packer, text, strlen(text));
}

void refusal_encode(const refusal_t *no, bytes_t echo, msgpack_sbuffer *out) {
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, msgpack_sbuffer_write);
    msgpack_pack_map(&packer, echo.size > 0 ? 3 : 2);
    text_pack(&packer, "ok");
    msgpack_pack_false(&packer);
    if (echo.size > 0) {
        text_pack(&packer, "id");
        msgpack_sbuffer_write(out, (const char *)echo.data, echo.size);
    }
    text_pack(&packer, "error");
    msgpack_pack_map(&packer, 2U + (no->field[0] != '\0') + no->retry + (no->expected != 0));
    text_pack(&packer, "code");
    text_pack(&packer, error_name(no->code));
    text_pack(&packer, "message");
    text_pack(&packer, no->message);
    if (no->field[0] != '\0') {
        text_pack(&packer, "field");
        text_pack(&packer, no->field);
    }
    if (no->retry) {
        text_pack(&packer, "retry");
        msgpack_pack_true(&packer);
    }
    if (no->expected != 0) {
        text_pack(&packer, "expected");
        msgpack_pack_int64(&packer, no->expected);
    }
}

static bool text_take(bytes_t map, const char *key, char *into, size_t room) {
    bytes_t value;
    const char *text;
    size_t size;
    if (!wire_map_get(map, key, &value) || !wire_text(value, &text, &size)) {
        return false;
    }
    snprintf(into, room, "%.*s", (int)(size < room ? size : room), text);
    text_mend(into);
    return true;
}

int refusal_decode(bytes_t in, refusal_t *no) {
    refusal_t read = {0};
    bytes_t ok, error, value;
    char code[64];
    if (!wire_map_get(in, "ok", &ok) || ok.data[0] != 0xc2 || !wire_map_get(in, "error", &error) ||
        !text_take(error, "code", code, sizeof code) || !text_take(error, "message", read.message, sizeof read.message)) {
        return -1;
    }
    read.code = error_find(code);
    text_take(error, "field", read.field, sizeof read.field);
    read.retry = wire_map_get(error, "retry", &value) && value.data[0] == 0xc3;
    if (wire_map_get(error, "expected", &value)) {
        wire_int(value, &read.expected);
    }
    *no = read;
    return 0;
}
