/* Runs through every message list. No include guard: the includer defines what it wants of
 *   MESSAGE(ID, name, wire, kind, scope, permission, owner, answer, doc, fields)   and   MESSAGE_AS(ID, record, kind, scope, doc)
 *   RECORD(name, doc, fields)
 *   FIELD(type, name, need, doc)  LIST(record, name, need, doc)  RECORD_OF(record, name, need, doc)
 *   NAMED(record, name, need, doc): a name, or a definition   and   NO_FIELDS
 * and includes this file, which undefines them all at its end. */
#define REQUEST(ID, name, wire, permission, owner, answer, doc, ...)                                                                       \
    MESSAGE(ID, name, wire, KIND_REQUEST, SCOPE, PERMISSION_##permission, owner, MSG_##answer, doc, __VA_ARGS__)
#define TELL(ID, name, wire, permission, doc, ...)                                                                                         \
    MESSAGE(ID, name, wire, KIND_TELL, SCOPE, PERMISSION_##permission, NULL, MSG_NONE, doc, __VA_ARGS__)
#define EVENT(ID, name, wire, doc, ...) MESSAGE(ID, name, wire, KIND_EVENT, SCOPE, PERMISSION_ENGINE, NULL, MSG_NONE, doc, __VA_ARGS__)
#define ANSWER(ID, name, doc, ...) MESSAGE(ID, name, #name, KIND_ANSWER, SCOPE, PERMISSION_ENGINE, NULL, MSG_NONE, doc, __VA_ARGS__)
#define ANSWER_AS(ID, record, doc) MESSAGE_AS(ID, record, KIND_ANSWER, SCOPE, doc)
#define OPTION(type, name, initial, doc) FIELD(type, name, OPTIONAL, doc)
#include "options.def"

#define SCOPE SCOPE_COMMANDS
#include "commands.def"
#undef SCOPE
#define SCOPE (SCOPE_INGEST | SCOPE_TEST_STREAM)
#include "stream.def"
#undef SCOPE
#define SCOPE SCOPE_INGEST
#include "ingest.def"
#undef SCOPE
#define SCOPE SCOPE_TEST_STREAM
#include "test_stream.def"
#undef SCOPE
#undef REQUEST
#undef TELL
/* Between actors nobody needs a key. */
#define REQUEST(ID, name, wire, owner, answer, doc, ...)                                                                                   \
    MESSAGE(ID, name, wire, KIND_REQUEST, SCOPE, PERMISSION_ENGINE, owner, MSG_##answer, doc, __VA_ARGS__)
#define TELL(ID, name, wire, doc, ...) MESSAGE(ID, name, wire, KIND_TELL, SCOPE, PERMISSION_ENGINE, NULL, MSG_NONE, doc, __VA_ARGS__)
#define SCOPE SCOPE_INTERNAL
#include "internal.def"
#include "sources.def"
#undef SCOPE

#undef REQUEST
#undef TELL
#undef EVENT
#undef ANSWER
#undef ANSWER_AS
#undef OPTION
#undef OPTION_FIELDS
#undef MESSAGE
#undef MESSAGE_AS
#undef RECORD
#undef FIELD
#undef LIST
#undef RECORD_OF
#undef NAMED
#undef NO_FIELDS
