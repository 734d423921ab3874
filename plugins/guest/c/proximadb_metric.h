/* What a metric in C needs to be a plugin: one file, no library. A plugin includes it once and defines the three functions below.
 *
 * It makes the exports of the world metric-plugin of plugins/wit/v0_1 in the canonical ABI of components; `wasm-tools component embed`
 * and `new` make a component of the module. Memory that the host hands over lives until the call is answered. */
#ifndef PROXIMADB_METRIC_H
#define PROXIMADB_METRIC_H

typedef __UINT8_TYPE__ uint8_t;
typedef __UINT32_TYPE__ uint32_t;
typedef __UINTPTR_TYPE__ uintptr_t;
typedef __SIZE_TYPE__ size_t;

/* What the metric says of itself; names are up to 128 bytes. */
typedef struct {
    const char *name;
    const char *version;
    uint8_t symmetric;
    uint8_t lower_is_nearer;
} proximadb_descriptor;

/* Takes the settings, a JSON text that does not end with a zero, and the number of components of every vector. What it keeps it must
 * copy. Gives 0, or what is wrong in words for people. */
static const char *metric_new(const char *settings, size_t length, uint32_t dimension);

static proximadb_descriptor metric_describe(void);

/* Puts the value of the query with each row into its place of `out`. Every value is finite, and a function of the query and its row
 * alone. Gives 0, or why this query cannot be compared. */
static const char *metric_score(const float *query, const float *block, size_t rows, uint32_t dimension, float *out);

/* The rest is the same for all metrics. */

extern unsigned char __heap_base;
static uintptr_t proximadb_heap;
static uint32_t proximadb_dimension;

static size_t proximadb_length(const char *text) {
    size_t length = 0;
    while (text[length] != 0) length++;
    return length;
}

__attribute__((export_name("cabi_realloc")))
void *proximadb_realloc(void *old, size_t old_size, size_t align, size_t size) {
    if (proximadb_heap == 0) proximadb_heap = (uintptr_t)&__heap_base;
    uintptr_t at = (proximadb_heap + align - 1) & ~(uintptr_t)(align - 1);
    uintptr_t end = at + size;
    uintptr_t has = (uintptr_t)__builtin_wasm_memory_size(0) << 16;
    if (end < at) __builtin_trap();
    if (end > has && __builtin_wasm_memory_grow(0, (end - has + 0xffff) >> 16) == (size_t)-1) __builtin_trap();
    proximadb_heap = end;
    const unsigned char *from = old;
    for (size_t i = 0; i < old_size && i < size; i++) ((unsigned char *)at)[i] = from[i];
    return (void *)at;
}

/* Answers, where the host reads them: a tag, 0 for a result and 1 for words, then the result or the words. */
static struct {
    uint32_t is_error;
    union {
        struct { const char *at; size_t length; } words;
        struct { const float *at; size_t length; } values;
        struct { const char *name; size_t name_length; const char *version; size_t version_length; uint8_t symmetric, lower_is_nearer; } said;
    } of;
} proximadb_answer;

static void *proximadb_refuse(const char *why) {
    proximadb_answer.is_error = 1;
    proximadb_answer.of.words.at = why;
    proximadb_answer.of.words.length = proximadb_length(why);
    return &proximadb_answer;
}

__attribute__((export_name("proximadb:plugin/metric@0.1.0#describe")))
void *proximadb_describe(const char *settings, size_t length, uint32_t dimension) {
    if (dimension == 0) return proximadb_refuse("dimension: vectors have at least one component");
    const char *why = metric_new(settings, length, dimension);
    if (why) return proximadb_refuse(why);
    proximadb_dimension = dimension;
    proximadb_descriptor said = metric_describe();
    proximadb_answer.is_error = 0;
    proximadb_answer.of.said.name = said.name;
    proximadb_answer.of.said.name_length = proximadb_length(said.name);
    proximadb_answer.of.said.version = said.version;
    proximadb_answer.of.said.version_length = proximadb_length(said.version);
    proximadb_answer.of.said.symmetric = said.symmetric;
    proximadb_answer.of.said.lower_is_nearer = said.lower_is_nearer;
    return &proximadb_answer;
}

__attribute__((export_name("proximadb:plugin/metric@0.1.0#score")))
void *proximadb_score(const float *query, size_t components, const float *block, size_t all) {
    uint32_t dimension = proximadb_dimension;
    if (dimension == 0) return proximadb_refuse("the metric was not described yet");
    if (components != dimension) return proximadb_refuse("query: it has another number of components");
    if (all % dimension != 0) return proximadb_refuse("block: these are no whole rows");
    size_t rows = all / dimension;
    float *out = proximadb_realloc(0, 0, _Alignof(float), rows * sizeof(float));
    const char *why = metric_score(query, block, rows, dimension, out);
    if (why) return proximadb_refuse(why);
    proximadb_answer.is_error = 0;
    proximadb_answer.of.values.at = out;
    proximadb_answer.of.values.length = rows;
    return &proximadb_answer;
}

/* The answer was read: what the call was handed can go. */
__attribute__((export_name("cabi_post_proximadb:plugin/metric@0.1.0#describe")))
void proximadb_described(void *answer) {
    (void)answer;
    proximadb_heap = 0;
}

__attribute__((export_name("cabi_post_proximadb:plugin/metric@0.1.0#score")))
void proximadb_scored(void *answer) {
    (void)answer;
    proximadb_heap = 0;
}

#endif
