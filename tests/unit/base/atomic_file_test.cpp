// Atomic replacement of files: whole or not at all, and what is said when it fails.
// SPDX-License-Identifier: MIT
#include "ffzero/base/atomic_file.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <iterator>
#include <string>

#include "support/expect_error.hpp"
#include "support/temporary_folder.hpp"

namespace ffzero {
namespace {

std::size_t entries(const std::filesystem::path& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator()));
}

TEST(AtomicFile, ReplacesTheWholeContent) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "state";
  const std::string large(3'000'000, 'x');
  write_file_atomically(path, large);
  EXPECT_EQ(test::read_file(path), large);
  const std::string zeros("a\0b", 3);
  write_file_atomically(path, zeros);
  EXPECT_EQ(test::read_file(path), zeros);
  write_file_atomically(path, "");
  EXPECT_EQ(test::read_file(path), "");
  EXPECT_EQ(entries(folder.path()), 1U);
}

TEST(AtomicFile, SaysWhichFolderIsMissing) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "missing" / "state";
  EXPECT_EQ(test::message_of<OutputError>([&] { write_file_atomically(path, "x"); }),
            path.string() + ": must be writable; got No such file or directory; create the folder first");
}

TEST(AtomicFile, LeavesNothingBehindWhenItFails) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "taken";
  std::filesystem::create_directories(path / "inside");
  EXPECT_EQ(test::message_of<OutputError>([&] { write_file_atomically(path, "x"); }),
            path.string() + ": must be writable; got Is a directory; choose another place");
  EXPECT_EQ(entries(folder.path()), 1U);
}

// Stands for a full disk: the process may not write more than 1000 bytes into a file.
[[noreturn]] void write_beyond_the_limit(const std::filesystem::path& path) {
  rlimit limit{};
  limit.rlim_cur = limit.rlim_max = 1000;
  std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &limit);
  try {
    write_file_atomically(path, std::string(5000, 'x'));
  } catch (const OutputError& e) {
    std::_Exit(e.what() == path.string() + ": must be writable; got File too large; choose another place" ? 7 : 1);
  }
  std::_Exit(0);
}

TEST(AtomicFileDeathTest, KeepsTheOldContentWhenTheDiskIsFull) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "state";
  write_file_atomically(path, "old");
  EXPECT_EXIT(write_beyond_the_limit(path), testing::ExitedWithCode(7), "");
  EXPECT_EQ(test::read_file(path), "old");
  EXPECT_EQ(entries(folder.path()), 1U);
}

}  // namespace
}  // namespace ffzero
