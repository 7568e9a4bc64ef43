# Prints a public header with its comments in the form that Doxygen reads. The headers are written to be read as they
# are, and keep to a few forms, which become:
#
#     a comment before a declaration        /** */, and at the top of the file a page about the file
#     a comment behind a declaration        /**< */
#     "  name   text" in a comment          an item of a list, with the lines that are indented below it
#     four spaces and more                  a program
#     a declaration without a comment       a reference to the one before, whose comment is about both

# A comment is kept until the line that it is about: a number that the comment names may be defined before that line.
function keep(s) { kept[nkept++] = s }
function release(    i)
{
    for (i = 0; i < nkept; i++) print kept[i]
    nkept = 0
}

function flush_program() { if (program) keep("@endcode"); program = 0 }

# Doxygen makes a link of a function's name where brackets follow it.
BEGIN {
    while (("cat include/mskp.h include/mskp/*.h" | getline line) > 0)
        if (line !~ /^( \*|\/\*)/ && match(line, /mskp_[a-z_]+\(/))
            is_function[substr(line, RSTART, RLENGTH - 1)] = 1
}
function linked(s,    done, name)
{
    while (match(s, /mskp_[a-z_]+/)) {
        name = substr(s, RSTART, RLENGTH)
        done = done substr(s, 1, RSTART + RLENGTH - 1) (name in is_function ? "()" : "")
        s = substr(s, RSTART + RLENGTH)
    }
    return done s
}

# Text of a comment, without what Doxygen and Markdown would take for marks.
function plain(s)
{
    gsub(/\\/, "\\\\\\\\", s)
    gsub(/@/, "\\@", s)
    gsub(/</, "\\&lt;", s)
    gsub(/>/, "\\&gt;", s)
    gsub(/\*/, "\\\\*", s)
    gsub(/#/, "\\\\#", s)
    return linked(s)
}

function line_of_comment(s,    name)
{
    if (substr(s, 1, 2) == " *") s = substr(s, 3)
    if (substr(s, 1, 1) == " ") s = substr(s, 2)
    if (s !~ /[^ ]/) { flush_program(); listing = 0; keep(""); return }
    if (listing && s ~ /^     /) { sub(/^ +/, "", s); keep("  " plain(s)); return }
    if (!listing && s ~ /^    /) {
        if (!program) keep("@code{.c}")
        program = 1
        keep(substr(s, 5))
        return
    }
    flush_program()
    if (s ~ /^  [^ ]/) {
        sub(/^ +/, "", s)
        name = s
        if (match(s, /   *[^ ]/) && RSTART > 1 && s ~ /^[^ ].*[^ ]   *[^ ]/) {
            name = substr(s, 1, RSTART - 1)
            s = substr(s, RSTART)
            sub(/^ +/, "", s)
            keep("- **" plain(name) "**: " plain(s))
        } else
            keep("- " (s ~ /^[a-z_]+(, [a-z_]+)*$/ ? "**" plain(s) "**:" : plain(s)))
        listing = 1
        return
    }
    if (listing) keep("")
    listing = 0
    keep(plain(s))
}

function begin_comment(s)
{
    listing = program = 0
    keep(NR == 1 ? "/** @file" : "/**")
    inside = 1
    if (s ~ /[^ ]/) rest_of_comment(s)
}

function rest_of_comment(s)
{
    if (s ~ /\*\/[ \t]*$/) {
        sub(/[ \t]*\*\/[ \t]*$/, "", s)
        if (s ~ /[^ *]/) line_of_comment(s)
        flush_program()
        keep("*/")
        inside = 0
        commented = 1
        return
    }
    line_of_comment(s)
}

inside { rest_of_comment($0); next }
/^\/\* (=+|-+ .* -+) \*\/$/ || /^\/\*  +.*[^ ]  +\*\/$/ { subject = ""; next } # the title of a section
/clang-format o/ { next }
/^#define [A-Z_]+ +[A-Z_0-9]+$/ && nkept { print; next }
{ if (!/^\/\*/) release() }
/^\/\*/ { release(); sub(/^\/\* ?/, ""); begin_comment($0); next }
/^typedef enum [a-z_]+ \{/ { kind = "enum" }
/^typedef struct [a-z_]+ \{/ { kind = "struct" }
/^\} [a-z_]+; \/\* .* \*\/$/ {
    match($0, /[a-z_]+;/)
    name = substr($0, RSTART, RLENGTH - 1)
    match($0, /\/\* .* \*\/$/)
    print "} " name ";"
    print "/** @" kind " " name
    print plain(substr($0, RSTART + 3, RLENGTH - 6)) " */"
    next
}
{
    # A comment behind what it is about, in one line.
    if ($0 ~ /[;,}0-9a-zA-Z)"] +\/\* .* \*\/$/ && $0 !~ /^#if|^typedef.*\{|^ *MSKP_X|^#define MSKP_STATUS/) {
        at = index($0, "/* ")
        text = substr($0, at + 3)
        sub(/ \*\/$/, "", text)
        print substr($0, 1, at - 1) "/**< " plain(text) " */"
        next
    }
    # A struct or an enum whose comment is behind its brace.
    if (/^typedef (struct|enum) [a-z_]+ \{ \/\* .* \*\/$/) {
        at = index($0, "/* ")
        print "/** " plain(substr($0, at + 3, length($0) - at - 5)) " */"
        $0 = substr($0, 1, at - 2)
        commented = 1
    }
    # A comment is also about the declarations that follow without a comment of their own.
    if (/^(MSKP_STABLE|MSKP_EXPERIMENTAL|typedef|static inline) /) {
        name = $0
        if (/^typedef/) { sub(/^typedef [a-z]+ /, "", name); sub(/[^a-z_0-9].*/, "", name) }
        else { sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
        if (commented) subject = name
        else if (subject != "" && !/\*\/$/) print "/** Described with @ref " subject ". */"
        commented = 0
    }
    print
}
