/* The weighted Jaccard distance (Ruzicka): 1 minus the sum of the smaller components over that of the larger ones. For vectors of
 * counts or weights; components below zero count as zero. Two vectors of zeros are the same. */
#include "proximadb_metric.h"

static const char *metric_new(const char *settings, size_t length, uint32_t dimension) {
    (void)dimension;
    if (length != 2 || settings[0] != '{' || settings[1] != '}') return "settings: this metric has none";
    return 0;
}

static proximadb_descriptor metric_describe(void) {
    proximadb_descriptor said = {"weighted Jaccard", "0.1.0", 1, 1};
    return said;
}

/* Sums in double: those of all components of the largest floats stay within it. */
static float distance(const float *a, const float *b, uint32_t dimension) {
    double smaller = 0, larger = 0;
    for (uint32_t i = 0; i < dimension; i++) {
        float x = a[i] > 0 ? a[i] : 0, y = b[i] > 0 ? b[i] : 0;
        smaller += x < y ? x : y;
        larger += x < y ? y : x;
    }
    return larger > 0 ? (float)(1 - smaller / larger) : 0;
}

static const char *metric_score(const float *query, const float *block, size_t rows, uint32_t dimension, float *out) {
    for (size_t row = 0; row < rows; row++) out[row] = distance(query, block + row * dimension, dimension);
    return 0;
}
