// The journal of a run's readings.
// SPDX-License-Identifier: MIT
#include "ffzero/run/run_journal.hpp"

#include <algorithm>
#include <system_error>

#include "ffzero/base/error.hpp"
#include "ffzero/device/device_map.hpp"
#include "ffzero/map/instrument_set.hpp"
#include "ffzero/map/wrapped_map.hpp"

namespace ffzero {

namespace {

// Of a device in the journal. A layer of one device has number 0.
std::uint32_t key_of(Index layer, Index number) {
  constexpr unsigned int kNumberShift = 16;
  return static_cast<std::uint32_t>(layer) | static_cast<std::uint32_t>(number) << kNumberShift;
}

}  // namespace

RunJournal::RunJournal(const Config& config, const std::string& description, const std::filesystem::path& folder,
                       const std::function<void(const std::string&)>& say) {
  const Values& v = config.values();
  if (folder.empty() || !v.is("model.kind", "device") || v.is("device.journal", "off")) return;
  file_ = folder / ReadingJournal::kFile;
  keeps_all_ = v.is("device.journal", "all");
  journal_ = std::make_shared<ReadingJournal>(
      file_, ReadingJournal::Options{.run = digest_of(description),
                                     .keep = keeps_all_ ? ReadingJournal::Keep::all : ReadingJournal::Keep::since_save,
                                     .most_bytes = v.integer("device.journal_mb") << 20U,
                                     .message = say});
}

RunJournal::RunJournal(const std::filesystem::path& folder, const std::string& description)
    : repeats_(true),
      journal_(std::make_shared<ReadingJournal>(ReadingJournal::replay(folder / ReadingJournal::kFile, digest_of(description)))) {}

void RunJournal::attach(const Network<float>& network) const {
  for (Index i = 0; journal_ != nullptr && i < network.layers(); ++i) attach(*network.layer(i).map, i);
}

void RunJournal::attach(ForwardMap<float>& map, Index layer) const {
  const auto keep = [&](ForwardMap<float>& one, std::uint32_t key, std::uint32_t company) {
    if (auto* const device = dynamic_cast<DeviceMap<float>*>(&innermost(one))) device->keep_journal(journal_, key, company);
  };
  const auto* const set = dynamic_cast<const InstrumentSet<float>*>(&map);
  if (set == nullptr) return keep(map, key_of(layer, 0), 0);
  std::uint32_t missing = 0;
  const auto& members = set->members();
  for (std::size_t r = 0; r < members.size(); ++r) missing |= members[r].map == nullptr ? std::uint32_t{1} << r : 0U;
  for (const NumberedInstrument<float>& member : members)
    if (member.map != nullptr) keep(*member.map, key_of(layer, member.number), missing);
}

void RunJournal::saved(bool whole) const {
  if (journal_ != nullptr) journal_->saved(whole);
}

void RunJournal::finished() const {
  std::error_code ignored;
  if (journal_ != nullptr && !repeats_ && !keeps_all_) std::filesystem::remove(file_, ignored);
}

std::vector<std::string> RunJournal::devices(const Config& config, const std::vector<Index>& without) const {
  std::vector<std::string> said;
  for (Index i = 0; i < isize(config.devices().size()); ++i) {
    const DeviceLayer& layer = config.devices()[usize(i)];
    for (std::size_t k = 0; k < layer.reached_at.size(); ++k) {
      const Index number = layer.reached_at.size() == 1 ? 0 : layer.first_number + isize(k);
      const auto found = journal_->descriptions().find(key_of(config.first_device() + i, number));
      const bool needed = std::find(without.begin(), without.end(), layer.first_number + isize(k)) == without.end();
      if (found == journal_->descriptions().end() && needed)
        throw DataError(ReadingJournal::kFile, "must say what the devices of the run are",
                        "nothing about device" + std::to_string(layer.first_number + isize(k)),
                        "give the folder of a run with device.journal = \"all\"");
      said.push_back(needed ? found->second : std::string());
    }
  }
  return said;
}

}  // namespace ffzero
