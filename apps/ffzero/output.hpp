// What goes to standard error, and what both streams need before anything is opened.
// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>

namespace ffzero::app {

/// Makes sure that descriptors 0, 1 and 2 are open, so that no file of a run ever takes the place of a stream that the caller closed, and
/// that writing into a closed pipe or beyond a limit on file sizes is an error of that call instead of the end of the process.
void prepare_streams();

/// Under a limit on the address space (ulimit -v) OpenBLAS must start no threads: each takes a buffer as soon as it is loaded, and asks for
/// it without an end where there is no room. Only the environment tells it, before it is loaded: the program replaces itself, once.
void keep_blas_small(char** argv);

/// Writes `text` to standard error. What cannot be written is lost: nobody reads it, and the work goes on.
void note_text(const std::string& text) noexcept;

/// The same, formatted.
template <class... T>
void note(fmt::format_string<T...> format, T&&... values) {
  note_text(fmt::format(format, std::forward<T>(values)...));
}

/// An argument as a POSIX shell takes it: quoted where it has to be. For commands that messages suggest.
[[nodiscard]] std::string shell_word(const std::string& argument);

}  // namespace ffzero::app
