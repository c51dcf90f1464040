/* A bench for a microcontroller: fixed buffers, no allocation, checksums, a watchdog. y_k = sum_i p_ik x_i, 3 inputs, 2 outputs, 6 parameters.
   Speaks docs/device-protocol.md. On a board, replace get_byte, put and the three functions of the bench; everything else stays.
   Here it runs over standard input and output: cc -o bench bench.c && ffzero device check "exec:./bench"     SPDX-License-Identifier: MIT */
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { INPUTS = 3, OUTPUTS = 2, PARAMETERS = INPUTS * OUTPUTS, LINEMAX = 255, ROWS = 16, WATCHDOG_MS = 2000 };

static float applied[PARAMETERS], staged[PARAMETERS];
static int ready, checksums;

/* --- the bench ------------------------------------------------------------------------------------------------------------------- */

static void apply(void) { memcpy(applied, staged, sizeof applied); } /* here: write to the converters, wait until they have settled */
static void measure(const float *x, float *y) {                      /* here: show the input, read the detectors */
  for (int k = 0; k < OUTPUTS; ++k) {
    y[k] = 0.0F;
    for (int i = 0; i < INPUTS; ++i) y[k] += applied[i * OUTPUTS + k] * x[i];
  }
}
static void make_safe(void) {
  memset(staged, 0, sizeof staged);
  apply();
  ready = 0;
}

/* --- the line -------------------------------------------------------------------------------------------------------------------- */

/* The next byte; -1 after WATCHDOG_MS of silence, -2 at the end of the stream. */
static int get_byte(void) {
  static char buffer[64];
  static int at, filled;
  if (at == filled) {
    struct pollfd input = {0, POLLIN, 0};
    if (poll(&input, 1, WATCHDOG_MS) == 0) return -1;
    filled = (int)read(0, buffer, sizeof buffer);
    at = 0;
    if (filled <= 0) return -2;
  }
  return (unsigned char)buffer[at++];
}
static void put(const char *text, int size) {
  while (size > 0) {
    const int sent = (int)write(1, text, (size_t)size);
    if (sent <= 0) return;
    text += sent;
    size -= sent;
  }
}

static unsigned crc16(const char *text, int size) {
  unsigned crc = 0xFFFF;
  while (size-- > 0) {
    crc ^= (unsigned)(unsigned char)*text++ << 8;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000U) ? (crc << 1 ^ 0x1021U) & 0xFFFFU : crc << 1;
  }
  return crc;
}
static void say(long number, const char *text) {
  char line[LINEMAX + 1];
  int size = snprintf(line, sizeof line - 8, "%ld %s", number, text);
  if (checksums) size += sprintf(line + size, " *%04X", crc16(line, size));
  line[size++] = '\n';
  put(line, size);
}

/* A line without its end into `line`; 1 if it fits, 0 if it was too long, -1 at the end of the stream. */
static int get_line(char *line) {
  int size = 0, fits = 1;
  while (1) {
    const int byte = get_byte();
    if (byte == -2) return -1;
    if (byte == -1) {
      make_safe(); /* the host is silent */
      continue;
    }
    if (byte == '\n') break;
    if (size < LINEMAX - 1) line[size++] = (char)byte;
    else fits = 0;
  }
  if (size > 0 && line[size - 1] == '\r') --size;
  line[size] = '\0';
  return fits;
}

/* Takes the checksum off; 0 if it is wrong or missing. */
static int checked(char *line) {
  const int size = (int)strlen(line);
  if (size < 6 || line[size - 6] != ' ' || line[size - 5] != '*') return 0;
  line[size - 6] = '\0';
  return strtoul(line + size - 4, NULL, 16) == crc16(line, size - 6);
}

/* --- requests -------------------------------------------------------------------------------------------------------------------- */

static void hello(long number) {
  char text[LINEMAX];
  make_safe();
  checksums = 0;
  say(number, "proto 1");
  say(number, "id ffzero-bench-c");
  snprintf(text, sizeof text, "shape %d %d %d", INPUTS, OUTPUTS, PARAMETERS);
  say(number, text);
  snprintf(text, sizeof text, "param 0 %d unit V min -5 max 5 safe 0", PARAMETERS);
  say(number, text);
  snprintf(text, sizeof text, "time answer_ms 2000 safe_ms 100 watchdog_ms %d", WATCHDOG_MS);
  say(number, text);
  snprintf(text, sizeof text, "cap linemax %d rows %d get crc ping", LINEMAX, ROWS);
  say(number, text);
  say(number, "ok");
  checksums = 1;
}

static void set(long number, char *rest) {
  float values[LINEMAX / 2];
  int count = 0;
  const long first = strtol(rest, &rest, 10);
  while (1) {
    char *end;
    const float value = strtof(rest, &end);
    if (end == rest) break;
    rest = end;
    if (first < 0 || first + count >= PARAMETERS || !(fabsf(value) <= 5.0F)) { /* NaN is not inside either */
      say(number, "error range");
      return;
    }
    values[count++] = value;
  }
  memcpy(staged + first, values, (size_t)count * sizeof *values);
  say(number, "ok");
}

static void get(long number, char *rest) {
  const long first = strtol(rest, &rest, 10), count = strtol(rest, NULL, 10);
  char text[40];
  if (first < 0 || count < 0 || first + count > PARAMETERS) {
    say(number, "error range");
    return;
  }
  for (long i = first; i < first + count; ++i) {
    snprintf(text, sizeof text, "row %.9g", (double)applied[i]);
    say(number, text);
  }
  say(number, "ok");
}

/* One `row` of the evaluation: its values are added to x; answers when x is full. Returns 1 after the last row, -1 if it is bad. */
static int row(long number, char *rest, float *x, int *filled, long *rows) {
  char text[LINEMAX];
  while (1) {
    char *end;
    const float value = strtof(rest, &end);
    if (end == rest) break;
    rest = end;
    if (*filled == INPUTS) return -1;
    x[(*filled)++] = value;
  }
  if (*filled < INPUTS) return 0;
  float y[OUTPUTS];
  measure(x, y);
  int size = sprintf(text, "row");
  for (int k = 0; k < OUTPUTS; ++k) size += snprintf(text + size, sizeof text - (size_t)size, " %.9g", (double)y[k]);
  say(number, text);
  *filled = 0;
  return --*rows == 0;
}

static void end(int signal) {
  (void)signal;
  make_safe();
  _exit(0);
}

int main(void) {
  char line[LINEMAX + 1];
  long evaluation = -1, rows = 0; /* the eval whose rows are coming in */
  float x[INPUTS];
  int filled = 0, fits;
  signal(SIGTERM, end);
  signal(SIGPIPE, SIG_IGN); /* a host that has gone is noticed by reading */
  make_safe();
  while ((fits = get_line(line)) >= 0) {
    char *rest, *verb;
    const int good = !checksums || strstr(line, " hello ") || checked(line);
    const long number = strtol(line, &rest, 10);
    verb = rest + strspn(rest, " ");
    rest = verb + strcspn(verb, " ");
    if (*rest != '\0') *rest++ = '\0';
    if (*verb == '\0' && fits) continue;
    if (evaluation >= 0 && !ready) { /* the watchdog has bitten before the last row */
      say(evaluation, "error unready");
      evaluation = -1;
    }
    if (!fits || !good) { /* it may have been a row */
      say(evaluation >= 0 ? evaluation : fits ? number : 0, fits ? "error retry crc" : "error unsupported long line");
      evaluation = -1;
    } else if (strcmp(verb, "row") == 0) {
      const int done = number == evaluation ? row(number, rest, x, &filled, &rows) : 0;
      if (done != 0) {
        say(number, done > 0 ? "ok" : "error retry a row is too long");
        evaluation = -1;
      }
    } else {
      if (evaluation >= 0) say(evaluation, "error retry rows are missing");
      evaluation = -1;
      if (strcmp(verb, "hello") == 0) hello(number);
      else if (strcmp(verb, "ready") == 0) ready = 1, say(number, "ok");
      else if (strcmp(verb, "ping") == 0) say(number, "ok");
      else if (strcmp(verb, "get") == 0) get(number, rest);
      else if (strcmp(verb, "safe") == 0 || strcmp(verb, "bye") == 0) make_safe(), say(number, "ok"); /* a board waits for the next host */
      else if (strcmp(verb, "set") != 0 && strcmp(verb, "eval") != 0) say(number, "error unsupported");
      else if (!ready) say(number, "error unready say ready first");
      else if (strcmp(verb, "set") == 0) set(number, rest);
      else {
        rows = strtol(rest, &rest, 10);
        if (rows < 0 || rows > ROWS || *rest != '\0') {
          say(number, "error unsupported");
          continue;
        }
        apply();
        filled = 0;
        if (rows == 0) say(number, "ok");
        else evaluation = number;
      }
    }
  }
  make_safe();
  return 0;
}
