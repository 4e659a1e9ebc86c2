/* A delegate for tests: it takes the nodes that the option "nodes" lists, and runs none of them.

It writes what it is told, and what the runtime makes of it, to the file that the option "log" names. "crash" is a stage
at which it aborts; "refuse" a message with which it makes no delegate. Built with RUNTIME, it tells that version as an
Edge TPU's library does. LOG and NODES of the environment stand for the options of a library that may not have any. The
structs have the layout of TFLite's lite/core/c/common.h, as far as they are used here. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK, FAILED };

typedef struct {
  int size;
  int data[];
} IntArray;

struct Delegate;

typedef struct Registration {
  void *(*init)(void *context, const char *buffer, size_t length);
  void (*free)(void *context, void *data);
  int (*prepare)(void *context, void *node);
  int (*invoke)(void *context, void *node);
  const char *(*profiling_string)(const void *context, const void *node);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  void *registration_external;
  void *async_kernel;
  uint64_t inplace_operator;
} Registration;

typedef struct Context {
  size_t tensors_size;
  int (*get_execution_plan)(struct Context *, IntArray **plan);
  void *tensors, *impl;
  void *resize_tensor, *report_error, *add_tensors, *get_node_and_registration;
  int (*replace_node_subsets)(struct Context *, Registration, const IntArray *nodes, struct Delegate *);
} Context;

typedef struct Delegate {
  void *data;
  int (*prepare)(Context *, struct Delegate *);
  void *copy_from_buffer, *copy_to_buffer, *free_buffer;
  int64_t flags;
  void *opaque_builder;
} Delegate;

static char log_path[4096], crash[16];
static int taken[256], count;

static void write_log(const char *line) {
  FILE *file = log_path[0] ? fopen(log_path, "a") : NULL;
  if (file) {
    fprintf(file, "%s\n", line);
    fclose(file);
  }
}

static void take(const char *listed) {
  for (char *rest = strdup(listed), *next; (next = strsep(&rest, ",")) && count < 256;) taken[count++] = atoi(next);
}

static void reach(const char *stage) {
  if (!strcmp(crash, stage)) abort();
}

static int prepare_node(void *context, void *node) { return OK; }

static int invoke_node(void *context, void *node) {
  reach("run");
  return OK;
}

static int prepare(Context *context, Delegate *self) {
  reach("prepare");
  IntArray *plan;
  if (context->get_execution_plan(context, &plan) != OK) return FAILED;
  char line[4096] = "plan";
  for (int i = 0; i < plan->size; i++) sprintf(line + strlen(line), " %d", plan->data[i]);
  write_log(line);
  if (!count) return OK;
  IntArray *nodes = malloc(sizeof(IntArray) + sizeof taken);
  nodes->size = count;
  memcpy(nodes->data, taken, sizeof taken);
  Registration kernel = {.prepare = prepare_node, .invoke = invoke_node, .custom_name = "Test", .version = 1};
  int status = context->replace_node_subsets(context, kernel, nodes, self);
  free(nodes);
  return status;
}

#ifdef RUNTIME
#define TEXT(number) #number
#define VERSION(number) "BuildLabel(N/A), RuntimeVersion(" TEXT(number) ")"
const char *edgetpu_version(void) { return VERSION(RUNTIME); }
#endif

#ifndef NOT_A_DELEGATE
Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t n, void (*report_error)(const char *)) {
  log_path[0] = crash[0] = count = 0;
  if (getenv("LOG")) strncpy(log_path, getenv("LOG"), sizeof log_path - 1);
  if (getenv("NODES")) take(getenv("NODES"));
  const char *refuse = NULL;
  for (size_t i = 0; i < n; i++)
    if (!strcmp(keys[i], "log")) strncpy(log_path, values[i], sizeof log_path - 1);
  for (size_t i = 0; i < n; i++) {
    char line[4096];
    snprintf(line, sizeof line, "option %s=%s", keys[i], values[i]);
    write_log(line);
    if (!strcmp(keys[i], "crash")) strncpy(crash, values[i], sizeof crash - 1);
    if (!strcmp(keys[i], "refuse")) refuse = values[i];
    if (!strcmp(keys[i], "nodes")) take(values[i]);
  }
  reach("load");
  if (refuse) {
    report_error(refuse);
    return NULL;
  }
  Delegate *delegate = calloc(1, sizeof *delegate);
  delegate->prepare = prepare;
  delegate->flags = 1; /* dynamic tensors are allowed, so that more delegates may follow */
  return delegate;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) { free(delegate); }
#endif
