/* Uses an installed libmskp-onnx: a model that is refused, and two convolutions with weights that
 * have no data. */
#include <stdio.h>
#include <string.h>

#include <mskp_onnx.h>

static const unsigned char model[] = {
    8,   10,  58, 150, 1,   10,  18,  10,  1,  120, 10,  1,   97,  18, 1,   104, 26,  1,
    104, 34,  4,  67,  111, 110, 118, 10,  15, 10,  1,   104, 18,  1,  114, 26,  1,   114,
    34,  4,   82, 101, 108, 117, 10,  18,  10, 1,   114, 10,  1,   98, 18,  1,   121, 26,
    1,   121, 34, 4,   67,  111, 110, 118, 18, 3,   110, 101, 116, 42, 13,  8,   4,   8,
    3,   8,   1,  8,   1,   16,  1,   66,  1,  97,  42,  13,  8,   2,  8,   4,   8,   1,
    8,   1,   16, 1,   66,  1,   98,  90,  27, 10,  1,   120, 18,  22, 10,  20,  8,   1,
    18,  16,  10, 2,   8,   1,   10,  2,   8,  3,   10,  2,   8,   2,  10,  2,   8,   2,
    98,  27,  10, 1,   121, 18,  22,  10,  20, 8,   1,   18,  16,  10, 2,   8,   1,   10,
    2,   8,   2,  10,  2,   8,   2,   10,  2,  8,   2,   66,  4,   10, 0,   16,  13};

int main(void)
{
    mskp_onnx *onnx = NULL;
    mskp_error err = {0};
    const mskp_onnx_options options = {.fixed = 1};
    if (mskp_onnx_open("no model", 8, &options, &onnx, &err) != MSKP_ERROR_BAD_TEXT || onnx)
        return 1;
    printf("refused: %s\n", err.text);
    if (mskp_onnx_open(model, sizeof model, &options, &onnx, &err)) {
        printf("%s\n", err.text);
        return 1;
    }
    mskp_onnx_param param = {0};
    const mskp_counts counts = mskp_graph_counts(mskp_onnx_graph(onnx));
    printf("%zu units, %zu parameters\n", counts.units, counts.params);
    const int good = counts.units == 4 && counts.params == 2 &&
                     !mskp_onnx_parameter(onnx, (mskp_param){2}, &param, &err) &&
                     !strcmp(param.name, "b");
    mskp_onnx_close(onnx);
    return !good;
}
