# Prints a page of docs/ for the site of `make docs`: links to files that are not in the site become their text.
{ page = page $0 "\n" }
END {
    while (match(page, /\[[^][]*\]\([^()]*\)/)) {
        link = substr(page, RSTART, RLENGTH)
        target = substr(link, index(link, "](") + 2)
        sub(/[#)].*/, "", target)
        if (target !~ /^(http.*|(\.\.\/)?(own-trainer|onnx-file|choosing)\.md)$/) link = substr(link, 2, index(link, "](") - 2)
        printf "%s%s", substr(page, 1, RSTART - 1), link
        page = substr(page, RSTART + RLENGTH)
    }
    printf "%s", page
}
