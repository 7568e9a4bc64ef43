# Writes a page of the manual (man 1) of what a program prints with --help.
#
#     PROGRAM --help | awk -v name=PROGRAM -v summary='what it does' -v version=V -v others='PROGRAM' -f manual.awk
#
# Lines that begin with the program's name and a blank, up to two blanks in a row, are the synopsis, and what follows
# these is what that form does. A line "  --option VALUE" begins an option, and deeper lines are its text. The last line
# begins with "Exit status:". Everything else is description, in paragraphs.

BEGIN {
    printf ".TH %s 1 \"%s\" \"mskp %s\" \"mskp\"\n", toupper(name), date, version
    print ".SH NAME"
    print plain(name) " \\- " summary
    state = "text"
}

/^  --/ {
    if (state != "options") options = options ".SH OPTIONS\n"
    state = "options"
    sub(/^ */, "")
    options = options ".TP\n" option($0) "\n"
    next
}
/^ / && state == "options" {
    sub(/^ */, "")
    options = options sentence($0) "\n"
    next
}
/^Exit status:/ {
    sub(/^Exit status: */, "")
    ending = ".SH EXIT STATUS\n" sentence(toupper(substr($0, 1, 1)) substr($0, 2)) "\n"
    next
}
index($0, name " ") == 1 && index($0, name " ") == match($0, /[^ ]/) && is_form($0) {
    form = $0
    meaning = ""
    if (match($0, /   */)) {
        form = substr($0, 1, RSTART - 1)
        meaning = substr($0, RSTART + RLENGTH)
    }
    synopsis = synopsis (synopsis == "" ? "" : ".br\n") ".B " plain(name) "\n" arguments(substr(form, length(name) + 2)) "\n"
    if (meaning != "") forms = forms ".TP\n\\fB" plain(name) "\\fP " arguments(substr(form, length(name) + 2)) "\n" \
        sentence(meaning) "\n"
    next
}
index($0, name ": ") == 1 { next } # the summary says so
/^$/ { text = text (text ~ /\n\.PP\n$/ || text == "" ? "" : ".PP\n"); next }
{ text = text sentence($0) "\n" }

END {
    print ".SH SYNOPSIS"
    printf "%s", synopsis
    print ".SH DESCRIPTION"
    sub(/(\.PP\n)+$/, "", text)
    while (sub(/^\.PP\n/, "", text)) continue
    printf "%s", forms
    if (forms != "" && text != "") print ".PP"
    printf "%s%s%s", text, options, ending
    print ".SH SEE ALSO"
    n = split(others, other, " ")
    for (i = 1; i <= n; i++) print ".BR " plain(other[i]) " (1)" (i < n ? "," : "")
}

# A form has arguments and no verb: words in capitals or with brackets or dots.
function is_form(line) {
    sub(/^[^ ]* /, "", line)
    return line ~ /^(\[|[A-Z][A-Z.])/
}

# For roff: backslashes, and hyphens that are to be copied as they stand.
function plain(s) {
    gsub(/\\/, "\\e", s)
    gsub(/-/, "\\-", s)
    return s
}

# Text: options are bold.
function sentence(s,   out) {
    gsub(/\\/, "\\e", s)
    while (match(s, /--[a-z][a-z-]*[a-z]/)) {
        out = out substr(s, 1, RSTART - 1) "\\fB" plain(substr(s, RSTART, RLENGTH)) "\\fP"
        s = substr(s, RSTART + RLENGTH)
    }
    out = out s
    return out ~ /^[.']/ ? "\\&" out : out
}

# "--option VALUE": what is written as it stands is bold, what stands for something else is italic.
function option(s,   at) {
    at = index(s, " ")
    if (!at) return "\\fB" plain(s) "\\fP"
    return "\\fB" plain(substr(s, 1, at - 1)) "\\fP " arguments(substr(s, at + 1))
}

function arguments(s,   out, word) {
    while (match(s, /[A-Za-z0-9.-]+/)) {
        word = substr(s, RSTART, RLENGTH)
        out = out substr(s, 1, RSTART - 1)
        if (word ~ /^\.+$/ || word == "option") out = out word
        else if (word ~ /^[A-Z]/) out = out "\\fI" plain(word) "\\fP"
        else out = out "\\fB" plain(word) "\\fP"
        s = substr(s, RSTART + RLENGTH)
    }
    return out s
}
