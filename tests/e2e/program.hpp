// Runs the program under test as a process of its own, and small data for it.
// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "ffzero/base/random.hpp"
#include "ffzero/tensor/npz.hpp"
#include "support/temporary_folder.hpp"

namespace ffzero::test {

namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

inline Arguments operator+(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

struct Outcome {
  int code = -1;  ///< exit code; 1000 + signal if a signal ended it
  std::string out, err;
};

/// A folder with data, and runs of the program in it.
class Workplace {
 public:
  /// A process that was started and not yet waited for.
  class Running {
   public:
    Running(pid_t pid, fs::path out, fs::path err) : pid_(pid), out_(std::move(out)), err_(std::move(err)) {}
    void signal(int number) const { ::kill(pid_, number); }
    [[nodiscard]] pid_t pid() const { return pid_; }
    /// On standard error, so far.
    [[nodiscard]] std::string said() const { return read_file(err_); }
    [[nodiscard]] Outcome wait() const {
      int status = 0;
      ::waitpid(pid_, &status, 0);
      return {WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status), fs::is_regular_file(out_) ? read_file(out_) : "",
              read_file(err_)};
    }

   private:
    pid_t pid_;
    fs::path out_, err_;
  };

  /// largest_file > 0: no file can grow beyond so many bytes, as on a disk that is full. output: where standard output goes instead.
  /// launcher: a program with its arguments that starts it: "mpirun", "-n", "2".
  [[nodiscard]] Running start(const Arguments& arguments, rlim_t largest_file = 0, const char* output = nullptr,
                              const Arguments& launcher = {}) {
    const std::string stem = (folder_.path() / ("process-" + std::to_string(++started_))).string();
    const std::string out = output != nullptr ? output : stem + ".out", err = stem + ".err", cache = (folder_.path() / "cache").string();
    std::vector<std::string> words = launcher;
    words.emplace_back(FFZERO_PROGRAM);
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::setenv("XDG_CACHE_HOME", cache.c_str(), 1);
      ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), STDOUT_FILENO);
      ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), STDERR_FILENO);
      if (largest_file > 0) {
        const rlimit limit{largest_file, largest_file};
        ::signal(SIGXFSZ, SIG_IGN);
        ::setrlimit(RLIMIT_FSIZE, &limit);
      }
      ::chdir(folder_.path().c_str()) == 0 ? ::execvp(argv[0], argv.data()) : 0;
      ::_exit(127);
    }
    // A failed fork must not become a signal to everything: kill(-1).
    if (pid < 0) throw std::runtime_error("fork failed");
    return {pid, out, err};
  }
  Outcome run(const Arguments& arguments) { return start(arguments).wait(); }

  [[nodiscard]] fs::path path(const fs::path& name) const { return folder_.path() / name; }
  fs::path write(const fs::path& name, std::string_view content) const { return folder_.write(name, content); }

 private:
  TemporaryFolder folder_;
  int started_ = 0;
};

/// Runs a shell command in the workplace; $P is the program.
inline Outcome shell(const Workplace& place, const std::string& command) {
  const std::string out = place.path("shell.out").string(), err = place.path("shell.err").string();
  const std::string whole = "cd '" + place.path("").string() + "' && P='" + FFZERO_PROGRAM + "' && export XDG_CACHE_HOME=cache && ( " +
                            command + " ) >'" + out + "' 2>'" + err + "'";
  const int status = std::system(whole.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status), read_file(out), read_file(err)};
}

/// Runs, and fails the test unless that ended well.
inline Outcome succeed(Workplace& place, const Arguments& arguments) {
  Outcome outcome = place.run(arguments);
  std::string command;
  for (const auto& word : arguments) command += " " + word;
  EXPECT_EQ(outcome.code, 0) << command << "\n" << outcome.err;
  return outcome;
}

inline nlohmann::ordered_json json_of(const std::string& text) {
  auto json = nlohmann::ordered_json::parse(text, nullptr, false);
  EXPECT_FALSE(json.is_discarded()) << "no JSON: " << text;
  return json;
}

/// Polls until `condition` holds; false after half a minute.
inline bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 30000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

/// Normal noise around one centre a class: learnable, but not at once. Byte images if `bytes`, complex vectors if `complex`.
struct SampleData {
  Index train = 320, test = 80, classes = 3;
  std::vector<Index> shape{20};
  bool bytes = false, complex = false;
};

inline NpyArray samples_of(const SampleData& data, Index count, std::uint64_t seed) {
  Index size = data.complex ? 2 : 1;
  for (const Index n : data.shape) size *= n;
  std::vector<Index> shape{count};
  shape.insert(shape.end(), data.shape.begin(), data.shape.end());
  std::vector<float> centres(usize(data.classes * size)), values(usize(count * size));
  RandomStream(99, Stream::test).fill_normal(std::span<float>(centres));
  RandomStream(seed, Stream::test, 1).fill_normal(std::span<float>(values));
  for (Index i = 0; i < count; ++i)
    for (Index k = 0; k < size; ++k) values[usize(i * size + k)] += centres[usize((i % data.classes) * size + k)];
  if (data.bytes) {
    std::vector<std::uint8_t> pixels;
    for (const float v : values) pixels.push_back(static_cast<std::uint8_t>(std::clamp(128.0F + 40.0F * v, 0.0F, 255.0F)));
    return NpyArray::of<std::uint8_t>(pixels, shape);
  }
  if (!data.complex) return NpyArray::of<float>(values, shape);
  NpyArray array = NpyArray::of<float>(values, {isize(values.size())});
  array.type = NpyArray::Type::c64;  // pairs of floats: the same bytes
  array.shape = shape;
  return array;
}

inline NpyArray labels_of_samples(Index count, Index classes) {
  std::vector<std::int32_t> labels;
  for (Index i = 0; i < count; ++i) labels.push_back(static_cast<std::int32_t>(i % classes));
  return NpyArray::of<std::int32_t>(labels, {count});
}

inline NpzArchive sample_archive(const SampleData& data = {}) {
  return {{"x_train", samples_of(data, data.train, 1)},
          {"y_train", labels_of_samples(data.train, data.classes)},
          {"x_test", samples_of(data, data.test, 2)},
          {"y_test", labels_of_samples(data.test, data.classes)}};
}

/// Writes it into the workplace and returns the arguments of `ffzero train` on it.
inline Arguments train_on(const Workplace& place, const NpzArchive& archive = sample_archive(), const std::string& name = "data.npz") {
  write_npz(place.path(name), archive);
  return {"train", "--quiet", "--no-report", "--dataset", "npz", "--data-dir", place.path(name).string()};
}

/// A small dense network; together with train_on() a run of some 50 ms.
inline const Arguments kSmall{"--layers", "12,6", "--epochs", "2", "--batch-size", "32", "--threads", "1"};

}  // namespace ffzero::test
