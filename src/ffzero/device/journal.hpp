// Readings of a run in a file, so that none has to be taken twice.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ffzero/base/device_receipt.hpp"
#include "ffzero/device/descriptor.hpp"
#include "ffzero/device/reading_key.hpp"

namespace ffzero {

/// What a reading gave.
struct KeptReading {
  std::string values;    ///< bytes of the outputs, row by row, as the layer passes them on
  DeviceReceipt bill;    ///< what it took; of readings that were asked for together the last one has the bill of all
  bool lasting = false;  ///< a checkpoint does not make it superfluous
};

/// The file journal.bin of a run: what each reading gave, under its key, with a checksum, in the order in which they came. What was written
/// survives the end of the process (kill -9); after a power cut everything up to the last whole record counts. A record that is cut off or
/// damaged ends the journal: what stood behind it is read again. One process at a time; from any thread of it, in whatever order readings
/// come.
class ReadingJournal {
 public:
  static constexpr const char* kFile = "journal.bin";
  /// How long readings are kept.
  enum class Keep {
    since_save,  ///< until the next checkpoint; those that are `lasting` as long as the run lasts
    all,         ///< always: the run can be repeated without its devices
  };
  struct Options {
    std::uint64_t run = 0;  ///< digest of what the readings depend on: another run's journal is refused
    Keep keep = Keep::since_save;
    std::int64_t most_bytes = std::int64_t{1} << 30;       ///< beyond them nothing is kept until the next checkpoint makes room
    std::function<void(const std::string&)> message = {};  ///< told once when that happens
  };

  /// Goes on with the file, or makes it. @throws DataError for a file that is not this run's journal, OutputError if it cannot be written
  ReadingJournal(std::filesystem::path file, Options options);
  /// To repeat a run: only reads, and every reading must be there. @throws DataError
  [[nodiscard]] static ReadingJournal replay(const std::filesystem::path& file, std::uint64_t run);

  /// The reading of this key, if it is there. digest: of parameters and inputs. @throws DataError if it was taken with others; when
  /// repeating a run also if it is not there
  [[nodiscard]] std::optional<KeptReading> find(const ReadingKey& key, std::uint64_t digest);
  struct Entry {
    ReadingKey key;
    std::uint64_t digest = 0;
    KeptReading reading;
  };
  /// Writes all of them at once. Nothing when repeating a run. @throws OutputError
  void add(std::span<const Entry> entries);

  /// What a device said of itself (DeviceDescription::said): without it a run cannot be repeated.
  void describe(std::uint32_t device, const std::string& said);
  [[nodiscard]] const std::map<std::uint32_t, std::string>& descriptions() const noexcept { return descriptions_; }

  /// A checkpoint has been written that has the bills of everything until now. whole: it stands behind all readings, so that those which
  /// do not last may go.
  void saved(bool whole);
  [[nodiscard]] std::size_t size() const noexcept { return places_.size(); }
  [[nodiscard]] std::int64_t bytes() const noexcept { return end_; }

 private:
  struct Place {
    std::int64_t begin = 0;  // of the record
    std::int64_t size = 0;
    std::uint64_t digest = 0;
    bool lasting = false;
    bool billed = false;  // in the receipts of a checkpoint
  };
  ReadingJournal(std::filesystem::path file, Options options, bool replay);
  void load();
  void start();
  void take(std::string_view record, std::int64_t begin);
  [[nodiscard]] std::string read(std::int64_t begin, std::int64_t size) const;
  void write(std::string_view bytes);
  void compact();

  std::filesystem::path file_;
  Options options_;
  bool replay_ = false, full_ = false;
  Descriptor descriptor_;
  std::int64_t end_ = 0;       // of the last whole record
  std::int64_t kept_end_ = 0;  // of what no checkpoint makes superfluous
  std::map<ReadingKey, Place> places_;
  std::map<std::uint32_t, std::string> descriptions_;
  std::unique_ptr<std::mutex> busy_ = std::make_unique<std::mutex>();
};

/// 64 bits that change with any of `bytes`. before: digest of what stands before them.
[[nodiscard]] std::uint64_t digest_of(std::string_view bytes, std::uint64_t before = 0) noexcept;

}  // namespace ffzero
