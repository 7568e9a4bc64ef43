#include "asked.h"

void asked_show(page *p, size_t n, const arg *table, const void *from)
{
    static const page_column columns[] = {
        {"option", PAGE_NAME}, {"value", PAGE_NAME}, {"meaning", PAGE_PROSE}};
    char value[400], meaning[240];
    page_section(p, "asked", "What was asked");
    page_table(p, "Options, those with a default included", 3, columns);
    for (const arg *option = table; option < table + n; option++) {
        if (!args_show(option, from, sizeof value, value)) continue;
        args_meaning(option, sizeof meaning, meaning);
        page_row(p, "%s%s", *option->name ? "--" : "files", option->name);
        page_cell(p, "%s", value);
        page_cell(p, "%s", meaning);
    }
    page_table_end(p);
}
