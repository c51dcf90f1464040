// Downloads by libcurl: mirror after mirror, into a .part file that becomes the file once its content is verified.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/fetch.hpp"

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <system_error>

#include "ffzero/base/error.hpp"
#include "ffzero/dataset/verify.hpp"

namespace ffzero {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_to_write(const fs::path& path, int code) {
  throw OutputError(path.string(), "must be writable", std::strerror(code), "choose another folder with --data-dir, or free some space");
}

// The unfinished file, locked against a second process.
class PartFile {
 public:
  explicit PartFile(const fs::path& path) : path_(path) {
    descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor_ < 0) fail_to_write(path, errno);
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
      ::close(descriptor_);
      throw DataError(path.string(), "only one process may download a file at a time", "another one is at work", "wait for it");
    }
    struct stat status {};
    if (::fstat(descriptor_, &status) == 0) size_ = static_cast<std::uint64_t>(status.st_size);
    ::lseek(descriptor_, 0, SEEK_END);
  }
  ~PartFile() { ::close(descriptor_); }
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  [[nodiscard]] const fs::path& path() const { return path_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }

  // The system's error code, 0 for success.
  int append(const char* bytes, std::size_t count) {
    while (count > 0) {
      const ssize_t written = ::write(descriptor_, bytes, count);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return errno;
      bytes += written;
      count -= static_cast<std::size_t>(written);
      size_ += static_cast<std::uint64_t>(written);
    }
    return 0;
  }
  void clear() {
    if (::ftruncate(descriptor_, 0) != 0) fail_to_write(path_, errno);
    ::lseek(descriptor_, 0, SEEK_SET);
    size_ = 0;
  }
  void rename_to(const fs::path& target) {
    if (::fsync(descriptor_) != 0) fail_to_write(path_, errno);
    if (::rename(path_.c_str(), target.c_str()) != 0) fail_to_write(target, errno);
  }

 private:
  fs::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

std::string host_of(const std::string& url) {
  const std::size_t scheme = url.find("://");
  const std::size_t begin = scheme == std::string::npos ? 0 : scheme + 3;
  const std::string host = url.substr(begin, url.find('/', begin) - begin);
  return host.empty() ? url : host;
}

enum class Outcome { complete, interrupted, cannot_resume, unreachable, refused };

struct Attempt {
  Outcome outcome;
  std::string reason;  // for people; empty if complete
};

// One request for one file from one mirror, appended to the part file.
class Transfer {
 public:
  Transfer(PartFile& part, const FetchOptions& options, FetchProgress progress, std::uint64_t largest)
      : curl_(curl_easy_init(), &curl_easy_cleanup), part_(part), options_(options), progress_(std::move(progress)), largest_(largest) {
    if (curl_ == nullptr) throw std::bad_alloc();
  }

  Attempt run(const std::string& url) {
    start_ = part_.size();
    prepare(url);
    const CURLcode code = curl_easy_perform(curl_.get());
    if (thrown_) std::rethrow_exception(thrown_);
    if (write_error_ != 0) fail_to_write(part_.path(), write_error_);
    return judge(code);
  }

 private:
  template <class Value>
  void set(CURLoption option, Value value) {
    curl_easy_setopt(curl_.get(), option, value);
  }

  void prepare(const std::string& url) {
    set(CURLOPT_URL, url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "https,http,file");
    set(CURLOPT_REDIR_PROTOCOLS_STR, "https,http");
    set(CURLOPT_FOLLOWLOCATION, 1L);
    set(CURLOPT_MAXREDIRS, 5L);
    set(CURLOPT_FAILONERROR, 1L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_USERAGENT, "ffzero");
    set(CURLOPT_CONNECTTIMEOUT, options_.connect_timeout_s);
    set(CURLOPT_LOW_SPEED_LIMIT, 100L);
    set(CURLOPT_LOW_SPEED_TIME, options_.stall_timeout_s);
    set(CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(start_));
    set(CURLOPT_ERRORBUFFER, message_.data());
    set(CURLOPT_WRITEFUNCTION, &Transfer::on_bytes);
    set(CURLOPT_WRITEDATA, this);
    set(CURLOPT_NOPROGRESS, 0L);
    set(CURLOPT_XFERINFOFUNCTION, &Transfer::on_progress);
    set(CURLOPT_XFERINFODATA, this);
  }

  static std::size_t on_bytes(char* bytes, std::size_t, std::size_t count, void* self_pointer) {
    auto& self = *static_cast<Transfer*>(self_pointer);
    self.too_large_ = self.part_.size() + count > self.largest_;
    if (self.too_large_) return 0;
    self.write_error_ = self.part_.append(bytes, count);
    return self.write_error_ == 0 ? count : 0;
  }

  static int on_progress(void* self_pointer, curl_off_t total, curl_off_t, curl_off_t, curl_off_t) {
    auto& self = *static_cast<Transfer*>(self_pointer);
    if (!self.options_.progress) return 0;
    self.progress_.received = self.part_.size();
    self.progress_.total = total > 0 ? self.start_ + static_cast<std::uint64_t>(total) : 0;
    try {
      return self.options_.progress(self.progress_) ? 0 : 1;
    } catch (...) {
      self.thrown_ = std::current_exception();  // must not cross libcurl's frames
      return 1;
    }
  }

  [[nodiscard]] Attempt judge(CURLcode code) {
    if (too_large_) return {Outcome::refused, "sends far more than the file"};
    switch (code) {
      case CURLE_OK:
        return {Outcome::complete, {}};
      case CURLE_ABORTED_BY_CALLBACK:
        return {Outcome::interrupted, {}};
      case CURLE_RANGE_ERROR:
      case CURLE_BAD_DOWNLOAD_RESUME:
        return {Outcome::cannot_resume, "cannot resume"};
      case CURLE_HTTP_RETURNED_ERROR: {
        long status = 0;
        curl_easy_getinfo(curl_.get(), CURLINFO_RESPONSE_CODE, &status);
        return {status == 416 ? Outcome::cannot_resume : Outcome::refused, "HTTP " + std::to_string(status)};
      }
      case CURLE_COULDNT_RESOLVE_HOST:
      case CURLE_COULDNT_RESOLVE_PROXY:
      case CURLE_COULDNT_CONNECT:
      case CURLE_OPERATION_TIMEDOUT:
        return {Outcome::unreachable, words(code)};
      default:
        return {Outcome::refused, words(code)};
    }
  }
  // libcurl's own explanation, kept to one line.
  [[nodiscard]] std::string words(CURLcode code) const {
    std::string text = message_[0] != '\0' ? std::string(message_.data()) : std::string(curl_easy_strerror(code));
    std::ranges::replace(text, '\n', ' ');
    return text;
  }

  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl_;
  PartFile& part_;
  const FetchOptions& options_;
  FetchProgress progress_;
  std::uint64_t largest_;
  std::uint64_t start_ = 0;
  std::array<char, CURL_ERROR_SIZE> message_{};
  std::exception_ptr thrown_;
  int write_error_ = 0;
  bool too_large_ = false;
};

// Everything that fetching one file needs to know.
struct Job {
  const RemoteDataset& dataset;
  const RemoteFile& file;
  const FetchOptions& options;
  fs::path folder;
  int number;

  [[nodiscard]] std::string packed_name() const { return file.name + ".gz"; }
  [[nodiscard]] const std::vector<std::string>& mirrors() const { return options.mirrors.empty() ? dataset.mirrors : options.mirrors; }
};

Attempt transfer(const Job& job, const std::string& mirror, PartFile& part) {
  FetchProgress progress{
      .file = job.packed_name(), .mirror = host_of(mirror), .number = job.number, .files = static_cast<int>(job.dataset.files.size())};
  // Packed, a file is hardly ever larger than unpacked; an endless answer must not fill the disk.
  const std::uint64_t largest = job.file.size + job.file.size / 8 + (std::uint64_t{1} << 20);
  return Transfer(part, job.options, std::move(progress), largest).run(mirror + job.packed_name());
}

// From one mirror: resumes the part file; if that leads to other content (mirrors pack differently), once more from the beginning.
Attempt fetch_from(const Job& job, const std::string& mirror, PartFile& part) {
  while (true) {
    const bool resumed = part.size() > 0;
    Attempt attempt = transfer(job, mirror, part);
    if (attempt.outcome == Outcome::complete) {
      const FileReport report = verify_file(job.file, part.path());
      if (report.state == FileState::ok) return attempt;
      attempt = {Outcome::cannot_resume, "sends a file that is not the data set's (" + to_string(report.state) + ")"};
    }
    if (attempt.outcome != Outcome::cannot_resume) return attempt;
    part.clear();
    if (!resumed) return {Outcome::refused, attempt.reason};
  }
}

// A file that is in the way: at the new file's place, or unpacked beside it where it would be read first.
void set_aside(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return;
  fs::path aside = path;
  aside += ".damaged";
  if (::rename(path.c_str(), aside.c_str()) != 0) fail_to_write(aside, errno);
}

void install(const Job& job, PartFile& part) {
  set_aside(job.folder / job.file.name);
  set_aside(job.folder / job.packed_name());
  part.rename_to(job.folder / job.packed_name());
}

[[noreturn]] void fail_to_fetch(const Job& job, bool offline, const std::string& reasons) {
  throw DataError(
      "datasets fetch " + job.dataset.name + ": " + job.packed_name(),
      offline ? "needs a network connection, and none of the mirrors can be reached" : "must come whole and unaltered from a mirror",
      reasons,
      "use dataset.name = \"glyphs\" (built in, needs no file), put the four files into " + job.folder.string() +
          " yourself, or use an npz file of your own");
}

// False if interrupted.
bool fetch_file(const Job& job) {
  PartFile part(job.folder / (job.packed_name() + ".part"));
  // Whole already: an earlier run was cut off between the last byte and the new name.
  if (part.size() > 0 && verify_file(job.file, part.path()).state == FileState::ok) {
    install(job, part);
    return true;
  }
  std::string reasons;
  bool offline = true;
  for (const std::string& mirror : job.mirrors()) {
    const Attempt attempt = fetch_from(job, mirror, part);
    if (attempt.outcome == Outcome::interrupted) return false;
    if (attempt.outcome == Outcome::complete) {
      install(job, part);
      return true;
    }
    offline = offline && attempt.outcome == Outcome::unreachable;
    reasons += (reasons.empty() ? "" : ", ") + host_of(mirror) + ": " + attempt.reason;
  }
  if (part.size() == 0) ::unlink(part.path().c_str());
  fail_to_fetch(job, offline, reasons);
}

void initialise_curl() {
  static const CURLcode kCode = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (kCode != CURLE_OK) throw DataError("datasets fetch", "libcurl must start", curl_easy_strerror(kCode));
}

}  // namespace

FetchSummary fetch_dataset(const RemoteDataset& dataset, const fs::path& dir, const FetchOptions& options) {
  initialise_curl();
  const fs::path folder = dir / dataset.name;
  FetchSummary summary;
  int number = 0;
  for (const RemoteFile& file : dataset.files) {
    ++number;
    if (verify_file(file, locate(dataset, file, dir)).state == FileState::ok) {
      ++summary.kept;
      continue;
    }
    std::error_code code;
    fs::create_directories(folder, code);
    if (code) fail_to_write(folder, code.value());
    if (!fetch_file({dataset, file, options, folder, number})) {
      summary.interrupted = true;
      return summary;
    }
    ++summary.fetched;
  }
  return summary;
}

FetchSummary fetch_dataset(std::string_view name, const fs::path& dir, const FetchOptions& options) {
  return fetch_dataset(remote_dataset(name), dir, options);
}

}  // namespace ffzero
