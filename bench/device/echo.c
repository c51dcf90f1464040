/* A device that does nothing but answer: the first 32 inputs of a row, the first of them plus the sum of the first and the last parameter. 49 inputs,
   32 outputs, 1568 parameters, binary frames only. What the host takes is then its own time.     SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { INPUTS = 49, OUTPUTS = 32, PARAMETERS = INPUTS * OUTPUTS, ROWS = 64 };

static char in[1 << 16], out[1 << 16];
static size_t at, filled;

static int fill(size_t wanted) { /* makes `wanted` bytes available behind `at` */
  memmove(in, in + at, filled - at);
  filled -= at;
  at = 0;
  while (filled < wanted) {
    const ssize_t count = read(0, in + filled, sizeof in - filled);
    if (count <= 0) return 0;
    filled += (size_t)count;
  }
  return 1;
}

static char *line(void) { /* the next one, without its end */
  for (;;) {
    char *end = memchr(in + at, '\n', filled - at);
    if (end != NULL) {
      char *begin = in + at;
      *end = 0;
      at = (size_t)(end - in) + 1;
      return begin;
    }
    if (!fill(filled - at + 1)) return NULL;
  }
}

static const char *payload(size_t bytes) {
  if (filled - at < bytes && !fill(bytes)) return NULL;
  const char *begin = in + at;
  at += bytes;
  return begin;
}

static void say(const char *bytes, size_t size) {
  while (size > 0) {
    const ssize_t sent = write(1, bytes, size);
    if (sent <= 0) return;
    bytes += sent;
    size -= (size_t)sent;
  }
}

int main(void) {
  static float p[PARAMETERS], x[ROWS * INPUTS], y[ROWS * OUTPUTS];
  for (char *l = line(); l != NULL; l = line()) {
    unsigned number = 0;
    char verb[16] = "";
    int a = 0, b = 0;
    size_t size = 0;
    sscanf(l, "%u %15s %d %d", &number, verb, &a, &b);
    if (strcmp(verb, "hello") == 0) {
      size = (size_t)snprintf(out, sizeof out, "0 proto 1\n0 shape %d %d %d\n0 cap f32le rows %d pipeline 8\n0 ok\n", INPUTS, OUTPUTS, PARAMETERS, ROWS);
    } else if (strcmp(verb, "set") == 0 && a >= 0 && b >= 0 && a + b <= PARAMETERS) {
      const char *values = payload((size_t)b * sizeof *p);
      if (values == NULL) return 1;
      memcpy(p + a, values, (size_t)b * sizeof *p);
      size = (size_t)snprintf(out, sizeof out, "%u ok\n", number);
    } else if (strcmp(verb, "eval") == 0 && a >= 0 && a <= ROWS) {
      const char *rows = payload((size_t)a * INPUTS * sizeof *x);
      if (rows == NULL) return 1;
      memcpy(x, rows, (size_t)a * INPUTS * sizeof *x);
      for (int r = 0; r < a; ++r) {
        memcpy(y + r * OUTPUTS, x + r * INPUTS, OUTPUTS * sizeof *y);
        y[r * OUTPUTS] += p[0] + p[PARAMETERS - 1];
      }
      const size_t bytes = (size_t)a * OUTPUTS * sizeof *y;
      size = (size_t)snprintf(out, sizeof out, "%u data %zu f32le\n", number, bytes);
      memcpy(out + size, y, bytes);
      size += bytes;
      size += (size_t)snprintf(out + size, sizeof out - size, "%u ok\n", number);
    } else {
      size = (size_t)snprintf(out, sizeof out, "%u ok\n", number);
    }
    say(out, size);
    if (strcmp(verb, "bye") == 0) return 0;
  }
  return 0;
}
