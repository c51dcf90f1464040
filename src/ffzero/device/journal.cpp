// Readings of a run in a file.
// SPDX-License-Identifier: MIT
#include "ffzero/device/journal.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <type_traits>
#include <utility>

#include "ffzero/base/error.hpp"
#include "ffzero/device/text.hpp"

namespace ffzero {

namespace {

// The head: this line, a number that shows the order of bytes, the digest of the run. Then records: the size of what follows behind the
// checksum, CRC-32 of it, and it.
constexpr std::string_view kMagic = "ffzero journal 1\n";
constexpr std::uint32_t kByteOrder = 0x01020304;
constexpr std::size_t kHead = kMagic.size() + sizeof(std::uint32_t) + sizeof(std::uint64_t);
constexpr std::size_t kRecordHead = 2 * sizeof(std::uint32_t);
constexpr std::int64_t kLargestRecord = std::int64_t{1} << 30;

// How a record begins. billed: a checkpoint has the bills of all records before it.
enum class Record : std::uint8_t { reading = 1, lasting_reading = 2, description = 3, billed = 4 };

template <class T>
void append(std::string& out, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// Takes what append wrote.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  template <class T>
  [[nodiscard]] T take() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    if (bytes_.size() < sizeof value) {
      complete_ = false;
      return value;
    }
    std::memcpy(&value, bytes_.data(), sizeof value);
    bytes_.remove_prefix(sizeof value);
    return value;
  }
  [[nodiscard]] std::string_view rest() const noexcept { return bytes_; }
  [[nodiscard]] bool complete() const noexcept { return complete_; }

 private:
  std::string_view bytes_;
  bool complete_ = true;
};

void append_bill(std::string& out, const DeviceReceipt& b) {
  for (const std::int64_t n : {b.sets, b.values, b.evaluations, b.rows, b.retries, b.restarts, b.failed, b.dropped, b.projected})
    append(out, n);
  append(out, b.seconds);
}

DeviceReceipt take_bill(Reader& in) {
  DeviceReceipt b;
  for (std::int64_t* n : {&b.sets, &b.values, &b.evaluations, &b.rows, &b.retries, &b.restarts, &b.failed, &b.dropped, &b.projected})
    *n = in.take<std::int64_t>();
  b.seconds = in.take<double>();
  return b;
}

std::string framed(const std::string& content) {
  std::string record;
  append(record, static_cast<std::uint32_t>(content.size()));
  append(record, crc32_of(content));
  return record + content;
}

std::string head_of(std::uint64_t run) {
  std::string head(kMagic);
  append(head, kByteOrder);
  append(head, run);
  return head;
}

std::string entry_record(const ReadingJournal::Entry& entry) {
  std::string content;
  append(content, entry.reading.lasting ? Record::lasting_reading : Record::reading);
  append(content, entry.key.device);
  for (const std::uint64_t n : {entry.key.stream, entry.key.step, entry.key.number, entry.digest}) append(content, n);
  append_bill(content, entry.reading.bill);
  content += entry.reading.values;
  return framed(content);
}

std::string description_record(std::uint32_t device, const std::string& said) {
  std::string content;
  append(content, Record::description);
  append(content, device);
  return framed(content + said);
}

std::string billed_record() {
  std::string content;
  append(content, Record::billed);
  return framed(content);
}

ReadingKey take_key(Reader& in) {
  ReadingKey key;
  key.device = in.take<std::uint32_t>();
  key.stream = in.take<std::uint64_t>();
  key.step = in.take<std::uint64_t>();
  key.number = in.take<std::uint64_t>();
  return key;
}

}  // namespace

std::uint64_t digest_of(std::string_view bytes, std::uint64_t before) noexcept {
  // Eight bytes at a time, each mixed as in the finaliser of SplitMix64.
  const auto mixed = [](std::uint64_t h, std::uint64_t word) {
    h = (h ^ word) + 0x9E3779B97F4A7C15ULL;
    h = (h ^ (h >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    h = (h ^ (h >> 27U)) * 0x94D049BB133111EBULL;
    return h ^ (h >> 31U);
  };
  std::uint64_t h = mixed(before, bytes.size());
  for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), sizeof h))) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), std::min(bytes.size(), sizeof word));
    h = mixed(h, word);
  }
  return h;
}

ReadingJournal::ReadingJournal(std::filesystem::path file, Options options) : ReadingJournal(std::move(file), std::move(options), false) {}

ReadingJournal ReadingJournal::replay(const std::filesystem::path& file, std::uint64_t run) {
  return {file, {.run = run, .keep = Keep::all}, true};
}

ReadingJournal::ReadingJournal(std::filesystem::path file, Options options, bool replay)
    : file_(std::move(file)), options_(std::move(options)), replay_(replay) {
  // To open a pipe would be to wait for its other end; a link leads elsewhere.
  const int flags = (replay ? O_RDONLY : O_RDWR | O_CREAT) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  descriptor_ = Descriptor(::open(file_.c_str(), flags, 0666));
  const int reason = errno;
  if (!descriptor_.open() && replay)
    throw DataError(file_.string(), "must hold the readings of the run that is repeated", system_reason(reason),
                    "a run keeps them with device.journal = \"all\"");
  if (!descriptor_.open()) throw OutputError(file_.string(), "must be writable", system_reason(reason), "check the folder's permissions");
  load();
}

void ReadingJournal::load() {
  struct stat status {};
  if (::fstat(descriptor_.get(), &status) != 0 || !S_ISREG(status.st_mode))
    throw DataError(file_.string(), "must be a regular file", "something else", "remove it");
  const std::int64_t size = status.st_size;
  const std::string head = head_of(options_.run);
  const std::string found = read(0, std::min<std::int64_t>(size, static_cast<std::int64_t>(kHead)));
  if (!replay_ && found.size() < kHead && head.starts_with(found)) return start();
  if (!found.starts_with(kMagic) || found.size() < kHead || found.substr(0, kHead - 8) != head.substr(0, kHead - 8))
    throw DataError(file_.string(), "must be a journal of readings of this version and machine", "something else",
                    "remove it: what it holds is read again");
  if (found != head)
    throw DataError(file_.string(), "must hold readings of this run", "those of another one", "remove it: they are read again");
  end_ = kept_end_ = static_cast<std::int64_t>(kHead);
  while (true) {
    const std::string before = read(end_, kRecordHead);
    Reader reader(before);
    const auto length = static_cast<std::int64_t>(reader.take<std::uint32_t>());
    const auto checksum = reader.take<std::uint32_t>();
    const std::int64_t begin = end_ + static_cast<std::int64_t>(kRecordHead);
    if (!reader.complete() || length > std::min(kLargestRecord, size - begin)) break;
    const std::string content = read(begin, length);
    if (static_cast<std::int64_t>(content.size()) != length || crc32_of(content) != checksum) break;
    take(content, end_);
  }
  // Whatever follows would stand behind a record that nobody can read.
  if (!replay_ && size > end_ && ::ftruncate(descriptor_.get(), end_) != 0)
    throw OutputError(file_.string(), "must be writable", system_reason(errno), "check the folder's permissions");
}

void ReadingJournal::start() {
  end_ = 0;
  write(head_of(options_.run));
  kept_end_ = end_;
}

// One whole record, of which `content` is what stands behind its checksum.
void ReadingJournal::take(std::string_view content, std::int64_t begin) {
  const auto size = static_cast<std::int64_t>(kRecordHead + content.size());
  end_ = begin + size;
  Reader in(content);
  const auto kind = in.take<Record>();
  if (kind == Record::reading || kind == Record::lasting_reading) {
    const ReadingKey key = take_key(in);
    const auto digest = in.take<std::uint64_t>();
    static_cast<void>(take_bill(in));
    if (in.complete()) places_[key] = {.begin = begin, .size = size, .digest = digest, .lasting = kind == Record::lasting_reading};
  } else if (kind == Record::description) {
    const auto device = in.take<std::uint32_t>();
    descriptions_[device] = in.rest();
  } else if (kind == Record::billed) {
    for (auto& [key, place] : places_) place.billed = true;
  }
  if (kind != Record::reading && begin == kept_end_) kept_end_ = end_;
}

std::string ReadingJournal::read(std::int64_t begin, std::int64_t size) const {
  std::string bytes(static_cast<std::size_t>(size), '\0');
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = ::pread(descriptor_.get(), bytes.data() + done, bytes.size() - done, begin + static_cast<std::int64_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw DataError(file_.string(), "must be readable", system_reason(errno), "check the disk");
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  bytes.resize(done);
  return bytes;
}

void ReadingJournal::write(std::string_view bytes) {
  std::int64_t at = end_;
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(descriptor_.get(), bytes.data(), bytes.size(), at);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0)
      throw OutputError(file_.string(), "must be writable", system_reason(errno), "free some space, or set device.journal = \"off\"");
    at += count;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  end_ = at;
}

std::optional<KeptReading> ReadingJournal::find(const ReadingKey& key, std::uint64_t digest) {
  const std::lock_guard lock(*busy_);
  const auto named = [&] {
    return "reading " + std::to_string(key.number) + " of step " + std::to_string(key.step & 0xFFFFFFFFFFULL) + " of stream " +
           std::to_string(key.stream) + " of device" + std::to_string(key.device);
  };
  const auto at = places_.find(key);
  if (at == places_.end()) {
    if (!replay_) return std::nullopt;
    throw DataError(file_.string(), "must hold every reading of the run that is repeated", "no " + named(),
                    "let that run go on to its end (device.journal = \"all\", a larger device.journal_mb)");
  }
  const Place& place = at->second;
  if (place.digest != digest)
    throw DataError(file_.string(), "must hold readings of this run", named() + ", taken with other parameters or inputs",
                    replay_ ? "repeat it with the version and the data of the run" : "remove it: what it holds is read again");
  const std::string record = read(place.begin, place.size);
  Reader in(std::string_view(record).substr(std::min(record.size(), kRecordHead)));
  static_cast<void>(in.take<Record>());
  static_cast<void>(take_key(in));
  static_cast<void>(in.take<std::uint64_t>());
  KeptReading reading{.values = {}, .bill = take_bill(in), .lasting = place.lasting};
  if (!in.complete()) throw DataError(file_.string(), "must not change while a run uses it", "a shorter file", "start again");
  reading.values = in.rest();
  if (place.billed && !replay_) reading.bill = {};
  return reading;
}

void ReadingJournal::add(std::span<const Entry> entries) {
  const std::lock_guard lock(*busy_);
  if (replay_ || entries.empty() || full_) return;
  std::string bytes;
  std::vector<std::pair<ReadingKey, Place>> places;
  for (const Entry& entry : entries) {
    const std::string record = entry_record(entry);
    places.emplace_back(entry.key, Place{.begin = end_ + static_cast<std::int64_t>(bytes.size()),
                                         .size = static_cast<std::int64_t>(record.size()),
                                         .digest = entry.digest,
                                         .lasting = entry.reading.lasting});
    bytes += record;
  }
  if (end_ + static_cast<std::int64_t>(bytes.size()) > options_.most_bytes) {
    full_ = true;
    if (options_.message)
      options_.message(file_.string() + " is full (device.journal_mb): " +
                       (options_.keep == Keep::all ? "this run cannot be repeated from it"
                                                   : "a run that is cut off before the next checkpoint reads again what follows"));
    return;
  }
  write(bytes);
  for (const auto& [key, place] : places) places_[key] = place;
}

void ReadingJournal::describe(std::uint32_t device, const std::string& said) {
  const std::lock_guard lock(*busy_);
  if (replay_ || descriptions_[device] == said) return;
  const std::int64_t begin = end_;
  write(description_record(device, said));
  descriptions_[device] = said;
  if (begin == kept_end_) kept_end_ = end_;
}

void ReadingJournal::saved(bool whole) {
  const std::lock_guard lock(*busy_);
  if (replay_) return;
  if (whole && options_.keep == Keep::since_save) {
    full_ = false;
    const bool more = std::any_of(places_.begin(), places_.end(),
                                  [this](const auto& entry) { return entry.second.lasting && entry.second.begin >= kept_end_; });
    if (more) return compact();
    std::erase_if(places_, [](const auto& entry) { return !entry.second.lasting; });
    if (end_ > kept_end_ && ::ftruncate(descriptor_.get(), kept_end_) != 0)
      throw OutputError(file_.string(), "must be writable", system_reason(errno), "check the folder's permissions");
    end_ = kept_end_;
    return;
  }
  bool open = false;
  for (auto& [key, place] : places_) open = !std::exchange(place.billed, true) || open;
  if (open) write(billed_record());
}

// Written beside and renamed: whoever is killed meanwhile finds the journal as it was.
void ReadingJournal::compact() {
  const std::filesystem::path beside = file_.string() + ".part-" + std::to_string(::getpid());
  Descriptor made(::open(beside.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (!made.open()) throw OutputError(beside.string(), "must be writable", system_reason(errno), "check the folder's permissions");
  std::vector<std::pair<std::int64_t, ReadingKey>> order;
  for (const auto& [key, place] : places_)
    if (place.lasting) order.emplace_back(place.begin, key);
  std::sort(order.begin(), order.end());
  std::map<ReadingKey, Place> kept;
  const Descriptor old = std::exchange(descriptor_, std::move(made));
  end_ = 0;
  try {
    write(head_of(options_.run));
    for (const auto& [device, said] : descriptions_) write(description_record(device, said));
    for (const auto& [begin, key] : order) {
      Place place = places_.at(key);
      std::string record(static_cast<std::size_t>(place.size), '\0');
      if (::pread(old.get(), record.data(), record.size(), begin) != static_cast<ssize_t>(record.size()))
        throw OutputError(file_.string(), "must not change while a run uses it", "a shorter file");
      place.begin = end_;
      place.billed = true;
      write(record);
      kept[key] = place;
    }
    write(billed_record());
    if (::rename(beside.c_str(), file_.c_str()) != 0)
      throw OutputError(file_.string(), "must be writable", system_reason(errno), "check the folder's permissions");
  } catch (...) {
    ::unlink(beside.c_str());
    throw;
  }
  places_ = std::move(kept);
  kept_end_ = end_;
}

}  // namespace ffzero
