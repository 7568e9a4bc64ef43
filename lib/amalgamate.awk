# Writes the library as one file: awk -v part=mskp.h|mskp.c -v version=V -f lib/amalgamate.awk LICENSE FILE...
#
# For mskp.h the files are the public headers, for mskp.c the sources (lib/*/*.c). What a file includes comes before the
# first file that includes it, once. Includes of the standard library come first of all; those that stand under a
# condition stay there.
#
# Each name that mskp.c declares begins with mskp, so that a program may include it. In the sources only public names
# (mskp_) and functions of private headers (mskpi_) do. A file's other names are those of its static functions and
# objects, its types, enumerators and macros; they are read from the declarations outside of braces. A source's name is
# preceded by the source's: check() of mask/rule.c becomes mskpi_rule_check(). A header's is preceded by mskpi_ alone.
# Members of structs stay what they are. Macros of a source end with it.

BEGIN {
    for (i = 1; i < ARGC; i++) given[i] = ARGV[i]
    files = ARGC - 1
    ARGC = 1
    if (part == "mskp.h") head_of_header()
    else head_of_source()
    for (i = 2; i <= files; i++) write(given[i])
    if (part == "mskp.c") print "\n#ifdef __GNUC__\n#pragma GCC diagnostic pop\n#endif"
    exit
}

# ---- What is said first ----
function license(   line) {
    while ((getline line < given[1]) > 0) print (line == "" ? " *" : " * " line)
    close(given[1])
    print " */"
}

function head_of_header() {
    print "/*"
    print " * mskp " version " as two files, mskp.h and mskp.c, made of the library's sources by `make amalgamation`. This one"
    print " * holds all public headers but mskp/blas.h. A program that includes <mskp/rules.h> and the like needs only"
    print " * <mskp.h> instead."
    print " *"
    license()
}

function head_of_source(   i, n, name, list) {
    for (i = 2; i <= files; i++) load(given[i])
    find_new_names()
    print "/*"
    print " * mskp " version " as two files, mskp.h and mskp.c, made of the library's sources by `make amalgamation`."
    print " *"
    print " *     cc -std=c11 -O3 -ffp-contract=off -fno-math-errno -c mskp.c"
    print " *"
    print " * Link with -lm. Never compile with -ffast-math. Names that begin with mskp_ are public. Those with mskpi_ are"
    print " * not, but a linker sees them; in a shared library, hide them by"
    print " *"
    print " *     -fvisibility=hidden '-DMSKP_API=__attribute__((visibility(\"default\")))'"
    print " *"
    print " * A program of one file may include mskp.c instead, after"
    print " *"
    print " *     #define MSKP_API static"
    print " *"
    print " * and then exports no function of the interface. Every name that mskp.c declares begins with mskp."
    print " *"
    license()
    n = sorted_includes(list)
    for (i = 1; i <= n; i++) print "#include " list[i]
    print ""
    print "#include \"mskp.h\""
    print ""
    print "/* A program that includes this file need not use all of it; and compilers that see all files at once suspect"
    print " * variables that are set wherever the call before them returned MSKP_OK. */"
    print "#ifdef __GNUC__"
    print "#pragma GCC diagnostic push"
    print "#pragma GCC diagnostic ignored \"-Wunused-function\""
    print "#ifdef __clang__"
    print "#pragma GCC diagnostic ignored \"-Wunneeded-internal-declaration\""
    print "#else"
    print "#pragma GCC diagnostic ignored \"-Wmaybe-uninitialized\""
    print "#endif"
    print "#endif"
}

# The includes of the standard library that stand under no condition, in order.
function sorted_includes(list,   name, n, i, j, t) {
    for (name in standard) list[++n] = name
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && list[j - 1] > list[j]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
    return n
}

# ---- Reading ----
# The files' lines, includes and names. lines[FILE], text[FILE, i]; uses[FILE, OTHER]; owns[FILE, NAME].
function load(file,   line, n, i, k, depth, other) {
    if (file in lines) return
    order[++loaded] = file
    while ((getline line < file) > 0) {
        text[file, ++n] = line
        if (line ~ /^ *# *if/) depth++
        if (line ~ /^ *# *endif/) depth--
        if (line ~ /^ *# *include *</ && depth == (file ~ /\.h$/) && part == "mskp.c") {
            match(line, /<[^>]*>/)
            standard[substr(line, RSTART, RLENGTH)] = 1
            text[file, n] = "\001" # left out
        }
    }
    close(file)
    if (!n) { print "amalgamate.awk: cannot read " file > "/dev/stderr"; exit 1 }
    lines[file] = n
    declarations(file)
    for (i = 1; i <= n; i++) {
        other = included(file, text[file, i])
        if (other == "" || other ~ /^include\//) continue
        load(other)
        uses[file, other] = 1
        for (k = 1; k <= loaded; k++) if ((other, order[k]) in uses) uses[file, order[k]] = 1
    }
}

# The path of what a line includes by "...", or "".
function included(file, line) {
    if (line !~ /^ *# *include *"/) return ""
    sub(/^[^"]*"/, "", line)
    sub(/".*/, "", line)
    if (line ~ /(^|\/)mskp\.h$/) return "include/mskp.h"
    if (file ~ /^include\/mskp\//) return "include/mskp/" line
    if (line ~ /^mskp\//) return "include/" line
    return "lib/" line
}

# Takes the first token from `rest` into `token`, and its kind into `kind`: word, number, comment, text, blank or other.
# A comment may go on in the next line: in_comment.
function take() {
    kind = "other"
    if (in_comment || rest ~ /^\/\*/) {
        kind = "comment"
        RLENGTH = index(substr(rest, in_comment ? 1 : 3), "*/")
        if (RLENGTH) RLENGTH += in_comment ? 1 : 3
        in_comment = !RLENGTH
        if (!RLENGTH) RLENGTH = length(rest)
    } else if (match(rest, /^\/\/.*/)) kind = "comment"
    else if (match(rest, /^[A-Za-z_][A-Za-z0-9_]*/)) kind = "word"
    else if (match(rest, /^[0-9][A-Za-z0-9_.]*/)) kind = "number"
    else if (match(rest, /^"([^"\\]|\\.)*"/) || match(rest, /^'([^'\\]|\\.)*'/)) kind = "text"
    else if (match(rest, /^[ \t]+/)) kind = "blank"
    else RLENGTH = 1
    token = substr(rest, 1, RLENGTH)
    rest = substr(rest, RLENGTH + 1)
}

# The names that a file declares outside of braces and of parameters, and enumerators.
function declarations(file,   i, braces, parens, word, last, named, in_enum, pointer) {
    for (i = 1; i <= lines[file]; i++) {
        rest = text[file, i]
        if (!in_comment && rest ~ /^ *#/) {
            if (rest ~ /^ *# *define /) {
                sub(/^ *# *define */, "", rest)
                match(rest, /^[A-Za-z0-9_]+/)
                own(file, substr(rest, 1, RLENGTH))
                macros[file] = macros[file] " " substr(rest, 1, RLENGTH)
            }
            while (text[file, i] ~ /\\$/) i++
            continue
        }
        while (rest != "") {
            take()
            if (kind == "blank" || kind == "comment") continue
            if (kind == "word") said[token] = 1
            if (token == "(" && !braces && !parens && !named) {
                if (rest ~ /^\*/) pointer = 1
                else { own(file, word); named = 1 }
            }
            if (!braces && !parens && !named && token ~ /^[;=,[]$/ && word != "") {
                own(file, word)
                named = token != ","
            }
            if (token == "{" && !braces && !named && (last == "struct" || last == "union" || last == "enum"))
                own(file, word)
            if (in_enum && braces == 1 && !parens && kind == "word" && fresh) own(file, token)
            fresh = 0
            if (kind == "word") {
                if (pointer && !braces) { own(file, token); named = 1; pointer = 0 }
                last = word
                word = token
            }
            if (token == "(") parens++
            if (token == ")") parens--
            if (token == "{") {
                if (!braces && (word == "enum" || last == "enum")) { in_enum = 1; fresh = 1 }
                braces++
                word = last = ""
            }
            if (token == "," && in_enum && braces == 1) fresh = 1
            if (token == "}") { braces--; if (!braces) { in_enum = 0; word = last = "" } }
            if (!braces && !parens && (token == ";" || (token == "}" && named && rest !~ /^;/)))
                { named = 0; word = last = ""; pointer = 0 }
        }
    }
    if (braces || parens) { print "amalgamate.awk: braces of " file " do not match" > "/dev/stderr"; exit 1 }
}

function own(file, name) {
    if (name ~ /^_/) return # the compiler's: _Static_assert, __attribute__
    if (name ~ /^(mskpi?_|MSKPI?_)/ || name == "" || (file, name) in owns) return
    owns[file, name] = 1
    names[file] = names[file] " " name
}

# renamed[FILE, NAME] for a source's own names, and renamed["", NAME] for those of headers
function find_new_names(   i, j, n, k, file, name, list, new) {
    for (i = 1; i <= loaded; i++) {
        file = order[i]
        n = split(names[file], list, " ")
        for (k = 1; k <= n; k++) {
            name = list[k]
            for (j = 1; j <= loaded; j++) if ((file, order[j]) in uses && (order[j], name) in owns) break
            if (j <= loaded) continue # declared in a header, and defined here
            new = name
            if (file ~ /\.c$/) {
                new = file
                sub(/^.*\//, "", new)
                sub(/\.c$/, "", new)
                new = new "_" name
            }
            new = name == toupper(name) ? toupper("mskpi_" new) : "mskpi_" new
            while (new in said) new = new "_"
            said[new] = 1
            renamed[file ~ /\.c$/ ? file : "", name] = new
        }
    }
}

# ---- Writing ----
function write(file,   i, other, n, list, k, blank) {
    if (file in written) return
    written[file] = 1
    if (part == "mskp.h") load(file)
    for (i = 1; i <= lines[file]; i++) {
        other = included(file, text[file, i])
        if (other == "") continue
        text[file, i] = "\001"
        if (part == "mskp.h" || other !~ /^include\//) write(other)
    }
    print "\n/* ==== " file " ==== */"
    blank = 1
    for (i = 1; i <= lines[file]; i++) {
        if (text[file, i] == "\001" || (blank && text[file, i] == "")) continue
        blank = text[file, i] == ""
        print (part == "mskp.h" ? text[file, i] : with_new_names(file, text[file, i]))
    }
    if (file !~ /\.c$/) return
    n = split(macros[file], list, " ")
    for (k = 1; k <= n; k++) print with_new_names(file, "#undef " list[k])
}

function with_new_names(file, line,   out, before, name) {
    rest = line
    if (!in_comment && line ~ /^(typedef )?(struct|union) .*\{/) in_struct = 1
    if (line ~ /^}/) in_struct = 0
    while (rest != "") {
        take()
        name = token
        if (kind == "word" && !is_member(before)) {
            if ((file, token) in renamed) name = renamed[file, token]
            else if (("", token) in renamed) name = renamed["", token]
        }
        if (kind != "blank" && kind != "comment") before = substr(before token, length(before token) - 1)
        out = out name
    }
    return out
}

# Whether `token`, which stands between `before` and `rest`, is the name of a member.
function is_member(before) {
    return before ~ /(\.|->)$/ || (in_struct && (rest ~ /^([;,:[]| : )/ || (rest ~ /^\)/ && before ~ /\*$/)))
}
