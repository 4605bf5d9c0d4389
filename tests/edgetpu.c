/* A library that stands for libedgetpu.so.1: an external delegate of TensorFlow Lite that takes each edgetpu-custom-op, and whose
 * device can be absent, die, hang or be unplugged. $EDGETPU_STUB says which: "", "absent", "dies loading", "dies later", "hangs",
 * "lost:N" (N runs, then it is unplugged), "unplugged:FILE" (once that file exists). Structures as far as they are used:
 * tensorflow/lite/core/c/common.h; the three functions for lists: libedgetpu's edgetpu_c.h.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, ERROR = 1 };

struct ints { int size; int data[]; };
struct tensor { /* 64 bits; without the fields after bytes it would have another size */
    int type; void *data; struct ints *dims; float scale; int32_t zero_point; int allocation; size_t bytes;
    void *rest[8];
};
struct node { struct ints *inputs, *outputs; void *rest[12]; };
struct registration {
    void *(*init)(void *, const char *, size_t);
    void (*free)(void *, void *);
    int (*prepare)(void *, struct node *);
    int (*invoke)(void *, struct node *);
    const char *(*profiling)(void *, struct node *);
    int32_t builtin;
    const char *custom;
    int version;
    void *rest[12]; /* passed by value: whatever a newer runtime reads behind it is zero */
};
struct context {
    size_t tensors_size;
    int (*plan)(struct context *, struct ints **);
    struct tensor *tensors;
    void *implementation;
    void *resize;
    void (*report)(struct context *, const char *, ...);
    void *add;
    int (*node)(struct context *, int, struct node **, struct registration **);
    int (*replace)(struct context *, struct registration, const struct ints *, void *);
};
struct delegate { void *data; int (*prepare)(struct context *, struct delegate *); void *copies[3]; int64_t flags; void *builder; };

static int runs;

static const char *mode(const char *begin)
{
    const char *set = getenv("EDGETPU_STUB");
    return set && !strncmp(set, begin, strlen(begin)) ? set + strlen(begin) : NULL;
}

static void *init(void *context, const char *buffer, size_t length) { return NULL; }
static void release(void *context, void *data) { }
static int prepare(void *context, struct node *node) { return OK; }

static int invoke(void *raw, struct node *node)
{
    struct context *context = raw;
    struct tensor *out = &context->tensors[node->outputs->data[0]];
    const char *limit = mode("lost:"), *file = mode("unplugged:");
    if ((limit && runs++ >= atoi(limit)) || (file && !access(file, F_OK))) {
        context->report(context, "USB transfer failed: device not found");
        return ERROR;
    }
    memset(out->data, 100, out->bytes); /* a strong colour, always the same */
    return OK;
}

static int take(struct context *context, struct delegate *delegate)
{
    struct registration mine = { .init = init, .free = release, .prepare = prepare, .invoke = invoke, .custom = "Stub", .version = 1 };
    struct registration *theirs;
    struct ints *plan, *taken;
    struct node *node;
    if (mode("dies later"))
        abort();
    if (context->plan(context, &plan))
        return ERROR;
    taken = malloc(sizeof *taken + plan->size * sizeof(int));
    taken->size = 0;
    for (int i = 0; i < plan->size; i++)
        if (!context->node(context, plan->data[i], &node, &theirs) && theirs->custom && !strcmp(theirs->custom, "edgetpu-custom-op"))
            taken->data[taken->size++] = plan->data[i];
    return context->replace(context, mine, taken, delegate);
}

void *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *))
{
    static struct delegate made;
    const char *device = "";
    for (size_t i = 0; i < count; i++)
        if (!strcmp(keys[i], "device"))
            device = values[i];
    if (mode("dies loading"))
        abort();
    if (mode("hangs"))
        for (;;)
            pause();
    if (mode("absent") || !strcmp(device, "pci") || !strcmp(device, ":7")) {
        report("No device found");
        return NULL;
    }
    runs = 0;
    made.prepare = take;
    made.flags = 1; /* AllowDynamicTensors: otherwise all operators are prepared first, and this one has nobody else to do so */
    return &made;
}

void tflite_plugin_destroy_delegate(void *delegate) { }

struct device { int type; const char *path; };

const char *edgetpu_version(void) { return "BuildLabel(stub), RuntimeVersion(14)"; }

struct device *edgetpu_list_devices(size_t *count)
{
    static struct device usb = { 1, "/sys/bus/usb/devices/2-1" };
    *count = mode("absent") ? 0 : 1;
    return &usb;
}

void edgetpu_free_devices(struct device *devices) { }
