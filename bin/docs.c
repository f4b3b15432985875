/* reprise-docs PAGE: prints one of the documents that come from the code, as Markdown, or a manual page. */
#include <stdio.h>
#include <string.h>

#include "actors/runtime/picture.h"
#include "manual.h"
#include "messages/docs.h"

typedef int page_fn(FILE *out);

/* The pages that are not made from the message lists alone. */
static const struct {
    const char *name;
    page_fn *print;
} pages[] = {
    {"actors", docs_print_actors},
};

static int page_print(FILE *out, const char *name) {
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
        if (strcmp(pages[i].name, name) == 0) return pages[i].print(out);
    return manual_print(out, name) == 0 ? 0 : docs_print(out, name);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: reprise-docs protocol|errors|options|counters|sources|actors|reprise.1|reprised.8|reprised.conf.5\n");
        return 2;
    }
    if (page_print(stdout, argv[1]) < 0) {
        fprintf(stderr, "reprise-docs: no page `%s`\n", argv[1]);
        return 1;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
