// Fetching and verifying, against servers on the loopback address and file:// mirrors only.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/fetch.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <cstdlib>

#include "ffzero/dataset/verify.hpp"
#include "support/expect_error.hpp"
#include "support/temporary_folder.hpp"
#include "unit/dataset/loopback_server.hpp"
#include "unit/dataset/source_files.hpp"

namespace ffzero {
namespace {

using test::gzipped;
using test::LoopbackServer;
using test::message_of;
using test::sha256_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// Bytes that hardly shrink when packed.
std::string noise(std::size_t size, std::uint32_t seed) {
  std::string out;
  for (std::uint32_t state = seed; out.size() < size;) out += static_cast<char>((state = state * 1664525U + 1013904223U) >> 24);
  return out;
}

class Fetch : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { ::setenv("no_proxy", "127.0.0.1", 1); }
  void SetUp() override {
    if (!LoopbackServer::reachable()) GTEST_SKIP() << "127.0.0.1 cannot be reached, and these tests fetch from it";
  }

  FetchSummary fetch(std::vector<std::string> mirrors, std::function<bool(const FetchProgress&)> progress = {}) {
    return fetch_dataset(toy_, dir(), {.mirrors = std::move(mirrors), .progress = std::move(progress)});
  }
  [[nodiscard]] const std::filesystem::path& dir() const { return folder_.path(); }
  [[nodiscard]] std::filesystem::path file() const { return dir() / "toy" / "images.gz"; }
  [[nodiscard]] std::filesystem::path part() const { return dir() / "toy" / "images.gz.part"; }

  const std::string content_ = noise(200000, 1);
  const std::string packed_ = gzipped(content_);
  const RemoteDataset toy_{.name = "toy", .contents = "noise", .files = {{"images", content_.size(), sha256_of(content_)}}, .mirrors = {}};
  test::TemporaryFolder folder_;
};

TEST_F(Fetch, BringsAFileIntoItsFolderAndLeavesNothingElse) {
  const LoopbackServer server({{"/images.gz", {.content = packed_}}});
  const FetchSummary summary = fetch({server.url()});
  EXPECT_EQ(summary.fetched, 1);
  EXPECT_EQ(summary.kept, 0);
  EXPECT_FALSE(summary.interrupted);
  EXPECT_EQ(test::read_file(file()), packed_);
  EXPECT_FALSE(std::filesystem::exists(part()));
  EXPECT_TRUE(all_ok(verify_dataset(toy_, dir())));
}

TEST_F(Fetch, LeavesFinishedFilesUntouchedWhereverTheyLie) {
  folder_.write("images", content_);  // unpacked and not in the folder toy: the loader takes it, so no download
  const LoopbackServer server({{"/images.gz", {.content = packed_}}});
  const FetchSummary summary = fetch({server.url()});
  EXPECT_EQ(summary.kept, 1);
  EXPECT_EQ(summary.fetched, 0);
  EXPECT_THAT(server.requests(), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(dir() / "toy"));
}

TEST_F(Fetch, ResumesWhereABrokenConnectionEnded) {
  const LoopbackServer broken({{"/images.gz", {.content = packed_, .break_after = 70000}}});
  EXPECT_THAT(message_of<DataError>([&] { fetch({broken.url()}); }), HasSubstr("must come whole and unaltered from a mirror"));
  EXPECT_EQ(test::read_file(part()), packed_.substr(0, 70000));
  EXPECT_FALSE(std::filesystem::exists(file()));
  const LoopbackServer whole({{"/images.gz", {.content = packed_}}});
  EXPECT_EQ(fetch({whole.url()}).fetched, 1);
  EXPECT_THAT(whole.requests(), ElementsAre("/images.gz 70000-"));
  EXPECT_EQ(test::read_file(file()), packed_);
}

TEST_F(Fetch, GoesOnAtTheNextMirrorWithinOneCall) {
  const LoopbackServer broken({{"/images.gz", {.content = packed_, .break_after = 5000}}});
  const LoopbackServer whole({{"/images.gz", {.content = packed_}}});
  EXPECT_EQ(fetch({broken.url(), whole.url()}).fetched, 1);
  EXPECT_THAT(whole.requests(), ElementsAre("/images.gz 5000-"));
}

TEST_F(Fetch, StartsAgainWhenTheServerKnowsNoRanges) {
  folder_.write("toy/images.gz.part", packed_.substr(0, 1000));
  const LoopbackServer server({{"/images.gz", {.content = packed_, .ranges = false}}});
  EXPECT_EQ(fetch({server.url()}).fetched, 1);
  EXPECT_THAT(server.requests(), ElementsAre("/images.gz 1000-", "/images.gz"));
  EXPECT_EQ(test::read_file(file()), packed_);
}

TEST_F(Fetch, StartsAgainWhenThePartBelongsToAnotherPacking) {
  folder_.write("toy/images.gz.part", gzipped(content_, 1).substr(0, 1000) + noise(1000, 7));
  const LoopbackServer server({{"/images.gz", {.content = packed_}}});
  EXPECT_EQ(fetch({server.url()}).fetched, 1);
  EXPECT_THAT(server.requests(), ElementsAre("/images.gz 2000-", "/images.gz"));
  EXPECT_EQ(test::read_file(file()), packed_);
}

TEST_F(Fetch, TakesAPartThatIsWholeAlready) {
  folder_.write("toy/images.gz.part", packed_);
  EXPECT_EQ(fetch({LoopbackServer::dead_url()}).fetched, 1);
  EXPECT_EQ(test::read_file(file()), packed_);
  EXPECT_FALSE(std::filesystem::exists(part()));
}

TEST_F(Fetch, PassesOverMirrorsThatLackTheFileOrSendAnother) {
  const LoopbackServer empty({});
  const LoopbackServer liar({{"/images.gz", {.content = gzipped(noise(200000, 2))}}});
  const LoopbackServer honest({{"/images.gz", {.content = packed_}}});
  EXPECT_EQ(fetch({empty.url(), liar.url(), honest.url()}).fetched, 1);
  EXPECT_THAT(honest.requests(), ElementsAre("/images.gz"));
  EXPECT_EQ(test::read_file(file()), packed_);
}

TEST_F(Fetch, NamesEveryMirrorsFaultWhenNoneDelivers) {
  const LoopbackServer empty({});
  const LoopbackServer liar({{"/images.gz", {.content = gzipped(noise(200000, 2))}}});
  const std::string message = message_of<DataError>([&] { fetch({empty.url(), liar.url()}); });
  EXPECT_THAT(message, HasSubstr("datasets fetch toy: images.gz"));
  EXPECT_THAT(message, HasSubstr("HTTP 404"));
  EXPECT_THAT(message, HasSubstr("not the data set's (wrong content)"));
  EXPECT_FALSE(std::filesystem::exists(file()));
  EXPECT_FALSE(std::filesystem::exists(part()));
}

TEST_F(Fetch, SaysThatItIsOfflineInOneLineWithTheAlternatives) {
  const std::string message = message_of<DataError>([&] { fetch({LoopbackServer::dead_url(), LoopbackServer::dead_url()}); });
  EXPECT_THAT(message, HasSubstr("needs a network connection, and none of the mirrors can be reached"));
  EXPECT_THAT(message, HasSubstr("glyphs"));
  EXPECT_THAT(message, HasSubstr((dir() / "toy").string()));
  EXPECT_THAT(message, HasSubstr("npz"));
  EXPECT_THAT(message, Not(HasSubstr("\n")));
}

TEST_F(Fetch, StopsWhenToldToAndGoesOnNextTime) {
  const LoopbackServer server({{"/images.gz", {.content = packed_}}});
  const FetchSummary first = fetch({server.url()}, [](const FetchProgress& p) { return p.received == 0; });
  EXPECT_TRUE(first.interrupted);
  EXPECT_EQ(first.fetched, 0);
  EXPECT_FALSE(std::filesystem::exists(file()));
  ASSERT_TRUE(std::filesystem::exists(part()));
  EXPECT_EQ(test::read_file(part()), packed_.substr(0, std::filesystem::file_size(part())));
  EXPECT_EQ(fetch({server.url()}).fetched, 1);
  EXPECT_EQ(test::read_file(file()), packed_);
}

TEST_F(Fetch, ReportsProgressUpToTheWholeFile) {
  const LoopbackServer server({{"/images.gz", {.content = packed_}}});
  FetchProgress last;
  fetch({server.url()}, [&](const FetchProgress& p) {
    EXPECT_GE(p.received, last.received);
    last = p;
    return true;
  });
  EXPECT_EQ(last.file, "images.gz");
  EXPECT_THAT(server.url(), HasSubstr(last.mirror));
  EXPECT_EQ(last.number, 1);
  EXPECT_EQ(last.files, 1);
  EXPECT_EQ(last.received, packed_.size());
  EXPECT_EQ(last.total, packed_.size());
}

TEST_F(Fetch, PassesAnExceptionOfTheProgressThrough) {
  const LoopbackServer server({{"/images.gz", {.content = packed_}}});
  EXPECT_THROW(fetch({server.url()}, [](const FetchProgress&) -> bool { throw std::logic_error("mine"); }), std::logic_error);
}

TEST_F(Fetch, SetsAFileWithOtherContentAside) {
  folder_.write("toy/images", "something else");
  const LoopbackServer server({{"/images.gz", {.content = packed_}}});
  EXPECT_EQ(fetch({server.url()}).fetched, 1);
  EXPECT_EQ(test::read_file(dir() / "toy" / "images.damaged"), "something else");
  EXPECT_TRUE(all_ok(verify_dataset(toy_, dir())));
}

TEST_F(Fetch, FollowsRedirectsAndAcceptsUnpackedContent) {
  const LoopbackServer target({{"/elsewhere", {.content = content_}}});
  const LoopbackServer server({{"/images.gz", {.redirect = target.url() + "elsewhere"}}});
  EXPECT_EQ(fetch({server.url()}).fetched, 1);
  EXPECT_TRUE(all_ok(verify_dataset(toy_, dir())));
}

TEST_F(Fetch, RefusesAnEndlessAnswer) {
  const LoopbackServer server({{"/images.gz", {.content = std::string(100000, 'x'), .endless = true}}});
  EXPECT_THAT(message_of<DataError>([&] { fetch({server.url()}); }), HasSubstr("sends far more than the file"));
}

TEST_F(Fetch, ReadsMirrorsOnTheDisk) {
  const auto mirror = folder_.write("mirror/images.gz", packed_).parent_path();
  EXPECT_EQ(fetch({"file://" + mirror.string() + "/"}).fetched, 1);
  EXPECT_EQ(test::read_file(file()), packed_);
}

TEST_F(Fetch, RefusesToWorkBesideAnotherProcess) {
  const int held = ::open(folder_.write("toy/images.gz.part", "").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(::flock(held, LOCK_EX), 0);
  EXPECT_THAT(message_of<DataError>([&] { fetch({LoopbackServer::dead_url()}); }), HasSubstr("another one is at work"));
  ::close(held);
}

TEST_F(Fetch, NamesAFolderThatCannotBeMade) {
  folder_.write("toy", "a file in the place of the folder");
  EXPECT_THAT(message_of<OutputError>([&] { fetch({LoopbackServer::dead_url()}); }), HasSubstr("must be writable"));
}

TEST_F(Fetch, RefusesANameWithoutFiles) {
  EXPECT_THAT(message_of<ConfigError>([&] { fetch_dataset("glyphs", dir()); }), HasSubstr("only mnist and fashion-mnist"));
}

TEST_F(Fetch, VerificationTellsTheKindsOfDamageApart) {
  const auto state = [&](const std::string& bytes) { return verify_file(toy_.files[0], folder_.write("x", bytes)).state; };
  std::string other = content_;
  other[100] = static_cast<char>(other[100] ^ 1);
  std::string flipped = packed_;
  flipped[packed_.size() - 6] = static_cast<char>(flipped[packed_.size() - 6] ^ 1);  // in the checksum
  EXPECT_EQ(state(content_), FileState::ok);
  EXPECT_EQ(state(packed_), FileState::ok);
  EXPECT_EQ(state(other), FileState::wrong_content);
  EXPECT_EQ(state(gzipped(other)), FileState::wrong_content);
  EXPECT_EQ(state(content_ + "x"), FileState::wrong_size);
  EXPECT_EQ(state(content_.substr(1)), FileState::wrong_size);
  EXPECT_EQ(state(""), FileState::wrong_size);
  EXPECT_EQ(state(packed_.substr(0, packed_.size() / 2)), FileState::damaged);
  EXPECT_EQ(state(flipped), FileState::damaged);
  EXPECT_EQ(verify_file(toy_.files[0], dir() / "none").state, FileState::missing);
  EXPECT_EQ(verify_file(toy_.files[0], dir()).state, FileState::damaged);
  EXPECT_EQ(to_string(FileState::wrong_content), "wrong content");
}

TEST(RemoteDatasets, AreWellFormed) {
  ASSERT_EQ(remote_datasets().size(), 2U);
  for (const RemoteDataset& dataset : remote_datasets()) {
    EXPECT_EQ(dataset.files.size(), 4U);
    EXPECT_GE(dataset.mirrors.size(), 2U);
    for (const std::string& mirror : dataset.mirrors) EXPECT_TRUE(mirror.starts_with("http") && mirror.ends_with("/")) << mirror;
    for (const RemoteFile& file : dataset.files) EXPECT_EQ(file.sha256.size(), 64U) << file.name;
  }
}

TEST(RemoteDatasets, ListTellsWhatIsBuiltInAndWhatIsPresent) {
  const test::TemporaryFolder folder;
  folder.write("mnist/train-images-idx3-ubyte.gz", "x");
  const auto entries = list_datasets(folder.path());
  EXPECT_TRUE(entries.at(0).built_in);
  EXPECT_EQ(entries.at(0).name, "glyphs");
  EXPECT_EQ(entries.at(3).name, "mnist");
  EXPECT_EQ(entries.at(3).files, 4);
  EXPECT_EQ(entries.at(3).files_present, 1);
  EXPECT_EQ(entries.at(4).files_present, 0);
  EXPECT_EQ(entries.size(), 8U);
}

TEST(RemoteDatasets, HashesAreThoseOfTheRealFiles) {
  const char* dir = std::getenv("FFZERO_DATA_DIR");
  if (dir == nullptr) GTEST_SKIP() << "FFZERO_DATA_DIR is not set: the real files are not checked";
  for (const char* name : {"mnist", "fashion-mnist"}) {
    for (const FileReport& report : verify_dataset(name, dir)) {
      EXPECT_EQ(report.state, FileState::ok) << name << " " << report.name << ": " << to_string(report.state) << " " << report.detail;
    }
  }
}

}  // namespace
}  // namespace ffzero
