/*
 * The page as text: the document, sections and tables. pictures.c draws the pictures.
 *
 * The contents list the sections, so the page is put together when it is written.
 */
#define _POSIX_C_SOURCE 200809L
#include "page.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/*
 * One accent color; the rest is gray. Text has a contrast of 4.5 to 1 or more, and what a picture
 * shows 3 to 1 or more, in both schemes (WCAG AA). Numbers in pictures are drawn larger on a narrow
 * screen, where the picture is drawn smaller.
 */
static const char *const STYLE[] = {
    ":root{color-scheme:light dark;--back:#fcfcfb;--text:#1c2024;--dim:#565d65;--line:#d8dbdf;"
    "--soft:#f0f1f3;--edge:#7b838b;--accent:#0a5fa5}\n"
    "@media(prefers-color-scheme:dark){:root{--back:#15181b;--text:#e4e7ea;--dim:#a6adb5;"
    "--line:#363c43;--soft:#1f2327;--edge:#7f8993;--accent:#6db3ef}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0 auto;max-width:70rem;padding:2rem 1rem 4rem;background:var(--back);"
    "color:var(--text);font:1rem/1.55 system-ui,-apple-system,\"Segoe UI\",Roboto,\"Noto Sans\","
    "sans-serif;overflow-wrap:break-word}\n"
    "header p{margin:0;color:var(--dim)}\n"
    "h1{margin:.1rem 0 .6rem;font-size:1.7rem;line-height:1.25;font-weight:650}\n"
    "h2{margin:0 0 .7rem;font-size:1.2rem;line-height:1.3;font-weight:650}\n"
    "section{margin-top:2.2rem;padding-top:1.4rem;border-top:1px solid var(--line)}\n"
    "p{margin:.6rem 0;max-width:46rem}\n"
    "a{color:var(--accent)}\n"
    "header .state{margin-top:.6rem;padding:.45rem .8rem;border-left:.25rem solid var(--accent);"
    "background:var(--soft);color:var(--text);max-width:46rem}\n"
    "nav ul{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;margin:1rem 0 0;padding:0;"
    "list-style:none}\n"
    "dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:1rem 1.5rem;"
    "margin:1rem 0}\n"
    "dt{color:var(--dim);font-size:.875rem}\n"
    "dd{margin:0;font-size:1.15rem;font-weight:600;font-variant-numeric:tabular-nums}\n"
    ".scroll{overflow-x:auto;margin:1rem 0;max-width:100%;"
    /* a shade where a table goes on */
    "background:linear-gradient(90deg,var(--back) 40%,transparent) 0 0/2rem 100% no-repeat local,"
    "linear-gradient(270deg,var(--back) 40%,transparent) 100% 0/2rem 100% no-repeat local,"
    "linear-gradient(90deg,var(--line),transparent) 0 0/.6rem 100% no-repeat scroll,"
    "linear-gradient(270deg,var(--line),transparent) 100% 0/.6rem 100% no-repeat scroll}\n"
    ":focus-visible{outline:2px solid var(--accent);outline-offset:2px}\n"
    "table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}\n"
    "caption{text-align:left;padding:0 0 .4rem;color:var(--dim)}\n"
    "caption span{display:block;position:sticky;left:0;max-width:min(46rem,calc(100vw - 2rem))}\n"
    "th,td{padding:.28rem .85rem .28rem 0;text-align:left;vertical-align:top;font-weight:400;"
    "border-bottom:1px solid var(--line)}\n"
    "thead th{font-weight:600;white-space:nowrap}\n"
    "tbody th{min-width:7.5rem;max-width:min(24rem,48vw)}\n"
    ".n{text-align:right;white-space:nowrap}\n"
    "td{max-width:min(20rem,60vw)}\n"
    "td.p{min-width:13rem;max-width:34rem}\n"
    "pre{margin:1rem 0;padding:.7rem .9rem;background:var(--soft);font:.85rem/1.5 ui-monospace,"
    "Menlo,Consolas,\"DejaVu Sans Mono\",monospace;white-space:pre-wrap;overflow-wrap:anywhere}\n"
    /* in two parts, because a compiler need not take longer ones */
    ,
    ".pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,20rem),1fr));"
    "gap:1.6rem 2rem;margin:1.2rem 0;align-items:start}\n"
    "figure{margin:0;min-width:0;max-width:32rem}\n"
    ".pictures .scroll{margin:0}\n"
    "figcaption{font-size:.9rem;color:var(--dim)}\n"
    "figcaption b{display:block;color:var(--text);font-weight:600}\n"
    ".key{white-space:nowrap;margin-right:1rem}\n"
    ".key i{display:inline-block;width:1.4rem;height:.7rem;margin-right:.4rem;vertical-align:"
    "baseline}\n"
    "i.one{border-top:.2rem solid var(--accent);height:.2rem;vertical-align:middle}\n"
    "i.two{border-top:.15rem dashed var(--edge);height:.15rem;vertical-align:middle}\n"
    "i.full{background:var(--accent)}\n"
    "i.gray{background:var(--edge)}\n"
    "i.empty{background:var(--soft);border:1px solid var(--edge)}\n"
    "svg{display:block;width:100%;height:auto;margin-top:.4rem;overflow:visible}\n"
    "svg text{font-size:13px;fill:var(--dim);font-variant-numeric:tabular-nums}\n"
    "svg .name{fill:var(--text)}\n"
    ".grid{stroke:var(--line);stroke-width:1}\n"
    ".axis{stroke:var(--edge);stroke-width:1}\n"
    ".band{fill:var(--soft)}\n"
    ".curve1{fill:none;stroke:var(--accent);stroke-width:2.2;stroke-linejoin:round;"
    "stroke-linecap:round}\n"
    ".curve2{fill:none;stroke:var(--edge);stroke-width:1.7;stroke-dasharray:5 3;"
    "stroke-linejoin:round}\n"
    ".dot1{fill:var(--accent)}\n"
    ".dot2{fill:var(--edge)}\n"
    ".fill1{fill:var(--accent)}\n"
    ".fill2{fill:var(--edge)}\n"
    ".before{fill:var(--soft);stroke:var(--edge);stroke-width:1}\n"
    ".notch{stroke:var(--back);stroke-width:2}\n"
    "@media(max-width:30rem){svg text{font-size:14px}body{padding-top:1rem}"
    "h1{font-size:1.4rem}}\n"
    "@media print{nav{display:none}body{max-width:none;padding:0}section,figure{break-inside:"
    "avoid}}\n"};

/* ---- texts ---- */

static bool grow(page_text *t, size_t more)
{
    if (t->failed) return false;
    if (t->used + more + 1 <= t->room) return true;
    const size_t room = 2 * (t->used + more) + 1024;
    char *bytes = realloc(t->bytes, room);
    t->failed = !bytes;
    if (!bytes) return false;
    t->bytes = bytes;
    t->room = room;
    return true;
}

static void add(page_text *t, const char *bytes, size_t size)
{
    if (!size || !grow(t, size)) return;
    memcpy(t->bytes + t->used, bytes, size);
    t->used += size;
    t->bytes[t->used] = 0;
}

static void add_list(page_text *t, const char *format, va_list list)
{
    va_list again;
    va_copy(again, list);
    const int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length <= 0 || !grow(t, (size_t)length)) return;
    vsnprintf(t->bytes + t->used, (size_t)length + 1, format, list);
    t->used += (size_t)length;
}

FILE_FORMAT(2, 3) static void add_format(page_text *t, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    add_list(t, format, list);
    va_end(list);
}

/* A text that may come from anywhere. */
static void add_escaped(page_text *t, const char *text)
{
    static const char special[] = "&<>\"'";
    while (*text) {
        const size_t plain = strcspn(text, special);
        add(t, text, plain);
        text += plain;
        if (*text) add_format(t, "&#%d;", *text++);
    }
}

static void add_escaped_list(page_text *t, const char *format, va_list list)
{
    page_text plain = {0};
    add_list(&plain, format, list);
    if (plain.bytes && !plain.failed) {
        file_printable(plain.bytes);
        add_escaped(t, plain.bytes);
    }
    t->failed = t->failed || plain.failed;
    free(plain.bytes);
}

FILE_FORMAT(2, 3) static void add_escaped_format(page_text *t, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    add_escaped_list(t, format, list);
    va_end(list);
}

void page_put(page *p, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    add_list(&p->body, format, list);
    va_end(list);
}

void page_put_text(page *p, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    add_escaped_list(&p->body, format, list);
    va_end(list);
}

void page_free(page *p)
{
    free(p->head.bytes);
    free(p->contents.bytes);
    free(p->body.bytes);
    *p = (page){0};
}

/* ---- the document ---- */

void page_begin(page *p, const char *program, const char *title, const char *state)
{
    add_format(&p->head,
               "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
               "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
               "<meta http-equiv=\"Content-Security-Policy\" "
               "content=\"default-src &#39;none&#39;; style-src &#39;unsafe-inline&#39;\"/>\n"
               "<title>");
    add_escaped_format(&p->head, "%s: %s%s", program, title, state ? " (not finished)" : "");
    add_format(&p->head, "</title>\n<style>\n");
    for (size_t i = 0; i < sizeof STYLE / sizeof *STYLE; i++)
        add(&p->head, STYLE[i], strlen(STYLE[i]));
    add_format(&p->head, "</style>\n</head>\n<body>\n<header>\n<p>");
    add_escaped_format(&p->head, "%s", program);
    add_format(&p->head, "</p>\n<h1>");
    add_escaped_format(&p->head, "%s", title);
    add_format(&p->head, "</h1>\n");
    if (state) {
        add_format(&p->head, "<p class=\"state\">");
        add_escaped_format(&p->head, "%s", state);
        add_format(&p->head, "</p>\n");
    }
    add_format(&p->head, "</header>\n");
}

void page_section(page *p, const char *id, const char *heading)
{
    add_format(&p->contents, "<li><a href=\"#%s\">", id);
    add_escaped_format(&p->contents, "%s", heading);
    add_format(&p->contents, "</a></li>\n");
    page_put(p, "%s<section aria-labelledby=\"%s\">\n<h2 id=\"%s\">",
             p->section ? "</section>\n" : "", id, id);
    page_put_text(p, "%s", heading);
    page_put(p, "</h2>\n");
    p->section = true;
}

void page_say(page *p, const char *format, ...)
{
    va_list list;
    page_put(p, "<p>");
    va_start(list, format);
    add_escaped_list(&p->body, format, list);
    va_end(list);
    page_put(p, "</p>\n");
}

void page_list(page *p, size_t n, const char *const *item)
{
    if (!n) return;
    page_put(p, "<ul>\n");
    for (size_t i = 0; i < n; i++) {
        page_put(p, "<li>");
        page_put_text(p, "%s", item[i]);
        page_put(p, "</li>\n");
    }
    page_put(p, "</ul>\n");
}

void page_lines(page *p, size_t n, const char *const *line)
{
    if (!n) return;
    page_put(p, "<pre>");
    for (size_t i = 0; i < n; i++) {
        page_put_text(p, "%s", line[i]);
        page_put(p, "\n");
    }
    page_put(p, "</pre>\n");
}

/* What a shell takes for one word: as it is, if it has no character of another meaning. */
static void put_word(page *p, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-+=.,:/@%";
    if (*word && word[strspn(word, plain)] == 0) {
        page_put_text(p, "%s", word);
        return;
    }
    page_put_text(p, "'");
    while (*word) {
        const int length = (int)strcspn(word, "'");
        page_put_text(p, "%.*s", length, word);
        word += length;
        if (*word) {
            page_put_text(p, "'\\''");
            word++;
        }
    }
    page_put_text(p, "'");
}

void page_command(page *p, int argc, char *const *argv)
{
    page_put(p, "<pre>");
    for (int i = 0; i < argc; i++) {
        if (i) page_put(p, " ");
        put_word(p, argv[i]);
    }
    page_put(p, "</pre>\n");
}

void page_facts(page *p)
{
    page_put(p, "<dl>\n");
}

void page_fact(page *p, const char *name, const char *format, ...)
{
    va_list list;
    page_put(p, "<div><dt>");
    page_put_text(p, "%s", name);
    page_put(p, "</dt><dd>");
    va_start(list, format);
    add_escaped_list(&p->body, format, list);
    va_end(list);
    page_put(p, "</dd></div>\n");
}

void page_facts_end(page *p)
{
    page_put(p, "</dl>\n");
}

/* ---- tables ---- */

static const char *class_of(const page_column *column)
{
    static const char *const classes[] = {
        [PAGE_NAME] = "", [PAGE_NUMBER] = " class=\"n\"", [PAGE_PROSE] = " class=\"p\""};
    return classes[column->kind];
}

void page_table(page *p, const char *caption, size_t n, const page_column *columns)
{
    const size_t id = ++p->ids;
    page_put(p,
             "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"c%zu\">\n"
             "<table>\n<caption id=\"c%zu\"><span>",
             id, id);
    page_put_text(p, "%s", caption);
    page_put(p, "</span></caption>\n<thead><tr>");
    for (size_t i = 0; i < n; i++) {
        page_put(p, "<th scope=\"col\"%s>", class_of(&columns[i]));
        page_put_text(p, "%s", columns[i].name);
        page_put(p, "</th>");
    }
    page_put(p, "</tr></thead>\n<tbody>\n");
    p->columns = columns;
    p->column = 0;
}

void page_row(page *p, const char *format, ...)
{
    va_list list;
    page_put(p, "%s<tr><th scope=\"row\"%s>", p->column ? "</tr>\n" : "", class_of(p->columns));
    p->column = 1;
    va_start(list, format);
    add_escaped_list(&p->body, format, list);
    va_end(list);
    page_put(p, "</th>");
}

void page_cell(page *p, const char *format, ...)
{
    va_list list;
    page_put(p, "<td%s>", class_of(&p->columns[p->column++]));
    va_start(list, format);
    add_escaped_list(&p->body, format, list);
    va_end(list);
    page_put(p, "</td>");
}

void page_table_end(page *p)
{
    page_put(p, "%s</tbody>\n</table>\n</div>\n", p->column ? "</tr>\n" : "");
    p->columns = NULL;
}

/* ---- the file ---- */

bool page_path(const char *folder, char path[PAGE_PATH])
{
    const size_t length = strlen(folder);
    const char *slash = length && folder[length - 1] == '/' ? "" : "/";
    const int n = snprintf(path, PAGE_PATH, "%s%sindex.html", folder, slash);
    return n > 0 && n < PAGE_PATH;
}

static bool refuse(file_error *err, const char *what)
{
    snprintf(err->text, sizeof err->text, "%s", what);
    return false;
}

bool page_check(const char *folder, file_error *err)
{
    char path[PAGE_PATH];
    struct stat is;
    int held;
    if (!page_path(folder, path)) return refuse(err, "its name is too long");
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        const bool made = !mkdir(path, 0777) || errno == EEXIST || !stat(path, &is);
        *slash = '/';
        if (made) continue;
        snprintf(err->text, sizeof err->text, "the folder cannot be made: %s", strerror(errno));
        return false;
    }
    if (!stat(path, &is) && !S_ISREG(is.st_mode))
        return refuse(err, "it cannot be written: it is no regular file");
    return file_check(path, &held, err);
}

bool page_create(const page *p, const char *path, file_output *out, file_error *err)
{
    static const char nav[] = "<nav aria-label=\"Contents\"><ul>\n",
                      main[] = "</ul></nav>\n<main>\n", end[] = "</main>\n</body>\n</html>\n",
                      last[] = "</section>\n";
    if (p->head.failed || p->contents.failed || p->body.failed)
        return refuse(err, "there is no memory for the page");
    if (!file_create(out, path, err)) return false;
    file_put(out, p->head.bytes, p->head.used);
    file_put(out, nav, strlen(nav));
    file_put(out, p->contents.bytes, p->contents.used);
    file_put(out, main, strlen(main));
    file_put(out, p->body.bytes, p->body.used);
    if (p->section) file_put(out, last, strlen(last));
    file_put(out, end, strlen(end));
    return file_complete(out, err);
}

bool page_write(const page *p, const char *path, file_error *err)
{
    file_output out = {0};
    const bool good = page_create(p, path, &out, err) && file_commit(&out, err);
    file_discard(&out);
    return good;
}
