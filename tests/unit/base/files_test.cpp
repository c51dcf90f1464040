// What others say in one line, files that never end, and one writer a folder.
// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "ffzero/base/error.hpp"
#include "ffzero/base/folder_lock.hpp"
#include "ffzero/base/input_file.hpp"
#include "ffzero/base/shown.hpp"
#include "support/temporary_folder.hpp"

namespace ffzero {
namespace {

TEST(Shown, EscapesWhatATerminalWouldActOn) {
  EXPECT_EQ(shown("a\nb\x1b[1m\xff\xc3\xa4\t"), "a\\nb\\x1b[1m\\xff\xc3\xa4\\t");
  EXPECT_EQ(shown("\xc2\x9b"), "\\xc2\\x9b");
}

TEST(Shown, CutsWhatIsLong) {
  EXPECT_EQ(shown(std::string(1000, 'x'), 10), "xxxxxxxxxx... (1000 bytes)");
  EXPECT_LT(error_line("place", "must be short", std::string(100000, 'x'), "cut it").size(), 600U);
}

TEST(InputFile, IsReadIfItIsRegularAndNotTooLarge) {
  const test::TemporaryFolder folder;
  const auto file = folder.write("text", "hello");
  EXPECT_EQ(read_regular_file(file, 5).bytes, "hello");
  EXPECT_FALSE(read_regular_file(file, 4).ok());
  EXPECT_FALSE(read_regular_file(folder.path() / "none", 4).ok());
  EXPECT_EQ(read_regular_file(folder.path(), 4).problem, "a folder");
  EXPECT_EQ(read_regular_file("/dev/zero", 4).problem, "a device");
  ASSERT_EQ(::mkfifo((folder.path() / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(read_regular_file(folder.path() / "pipe", 4).problem, "a pipe");
}

TEST(FolderLock, NamesItsHolderAndGoesWithIt) {
  const test::TemporaryFolder folder;
  {
    const FolderLock lock(folder.path());
    EXPECT_NE(FolderLock::holder(folder.path()).find(std::to_string(::getpid())), std::string::npos);
    EXPECT_THROW(FolderLock{folder.path()}, UsageError);
  }
  EXPECT_FALSE(std::filesystem::exists(folder.path() / FolderLock::kFile));
  EXPECT_EQ(FolderLock::holder(folder.path()), "");
}

TEST(FolderLock, OfAKilledProcessIsTakenOver) {
  const test::TemporaryFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    const FolderLock lock(folder.path());
    ::_exit(0);
  }
  ASSERT_GT(child, 0);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(std::filesystem::exists(folder.path() / FolderLock::kFile));
  EXPECT_NO_THROW(FolderLock{folder.path()});
}

TEST(FolderLock, OfAnotherHostIsNot) {
  const test::TemporaryFolder folder;
  folder.write(FolderLock::kFile, "elsewhere 1\n");
  EXPECT_THROW(FolderLock{folder.path()}, UsageError);
  EXPECT_TRUE(std::filesystem::exists(folder.path() / FolderLock::kFile));
}

}  // namespace
}  // namespace ffzero
