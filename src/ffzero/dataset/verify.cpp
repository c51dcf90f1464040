// SHA-256 of unpacked files. The hash is OpenSSL's, unpacking is zlib's.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/verify.hpp"

#include <openssl/evp.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <memory>
#include <new>

namespace ffzero {

namespace {

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    if (context_ == nullptr || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1) throw std::bad_alloc();
  }
  void add(const unsigned char* bytes, std::size_t count) { EVP_DigestUpdate(context_.get(), bytes, count); }
  [[nodiscard]] std::string hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int length = 0;
    EVP_DigestFinal_ex(context_.get(), digest.data(), &length);
    std::string out;
    for (unsigned int i = 0; i < length; ++i) {
      out += "0123456789abcdef"[digest[i] >> 4];
      out += "0123456789abcdef"[digest[i] & 15U];
    }
    return out;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

using GzFile = std::unique_ptr<gzFile_s, decltype(&gzclose_r)>;

// Size and hash of the unpacked content, reading stops soon after `limit`; false if it cannot be unpacked to its end.
bool digest(const std::filesystem::path& path, std::uint64_t limit, std::uint64_t& size, std::string& sha256) {
  const GzFile file(gzopen(path.c_str(), "rb"), &gzclose_r);
  if (file == nullptr) return false;
  gzbuffer(file.get(), 1U << 17);
  Sha256 hash;
  std::vector<unsigned char> chunk(1U << 17);
  size = 0;
  while (size <= limit) {
    const int got = gzread(file.get(), chunk.data(), static_cast<unsigned int>(chunk.size()));
    if (got < 0) return false;
    if (got == 0) break;
    hash.add(chunk.data(), static_cast<std::size_t>(got));
    size += static_cast<std::uint64_t>(got);
  }
  // A gzip stream that ends too early reads as an end of file with a pending Z_BUF_ERROR.
  int code = Z_OK;
  gzerror(file.get(), &code);
  sha256 = hash.hex();
  return code == Z_OK || code == Z_STREAM_END;
}

}  // namespace

std::string to_string(FileState state) {
  switch (state) {
    case FileState::ok:
      return "ok";
    case FileState::missing:
      return "missing";
    case FileState::damaged:
      return "damaged";
    case FileState::wrong_size:
      return "wrong size";
    case FileState::wrong_content:
      return "wrong content";
  }
  return {};
}

FileReport verify_file(const RemoteFile& file, const std::filesystem::path& path) {
  FileReport report{.name = file.name, .path = path, .state = FileState::ok, .detail = {}};
  std::error_code ignored;
  if (path.empty() || !std::filesystem::exists(path, ignored)) {
    return {.name = file.name, .path = {}, .state = FileState::missing, .detail = {}};
  }
  std::uint64_t size = 0;
  std::string sha256;
  if (!std::filesystem::is_regular_file(path, ignored) || !digest(path, file.size, size, sha256)) {
    report.state = FileState::damaged;
    report.detail = "cannot be read or unpacked to its end";
  } else if (size != file.size) {
    report.state = FileState::wrong_size;
    report.detail = (size > file.size ? "more than " + std::to_string(file.size) : std::to_string(size)) + " bytes instead of " +
                    std::to_string(file.size);
  } else if (sha256 != file.sha256) {
    report.state = FileState::wrong_content;
    report.detail = "SHA-256 " + sha256 + " instead of " + file.sha256;
  }
  return report;
}

std::vector<FileReport> verify_dataset(const RemoteDataset& dataset, const std::filesystem::path& dir) {
  std::vector<FileReport> reports;
  for (const RemoteFile& file : dataset.files) reports.push_back(verify_file(file, locate(dataset, file, dir)));
  return reports;
}

std::vector<FileReport> verify_dataset(std::string_view name, const std::filesystem::path& dir) {
  return verify_dataset(remote_dataset(name), dir);
}

bool all_ok(const std::vector<FileReport>& reports) {
  return std::ranges::all_of(reports, [](const FileReport& report) { return report.state == FileState::ok; });
}

}  // namespace ffzero
