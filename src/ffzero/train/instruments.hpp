// The instruments of a network, as a training sees them: addresses of readings, limits, receipts, noise and drift.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ffzero/base/ledger.hpp"
#include "ffzero/map/addressed.hpp"
#include "ffzero/map/instrument.hpp"
#include "ffzero/map/repeated_readings.hpp"
#include "ffzero/map/replicated.hpp"
#include "ffzero/train/estimator.hpp"
#include "ffzero/train/network.hpp"
#include "ffzero/train/record.hpp"

namespace ffzero {

/// What readings are for. Each purpose has readings of its own, so that a simulated instrument gives the same noise in a run that was
/// resumed.
enum class ReadingPurpose : std::uint8_t { step, log, pass, front, control, look };

/// What a block of a training asks of its layers, by its plan: from this nominal time follows, at which simulated instruments drift.
struct BlockTimeline {
  Index last = 0;     ///< layers [.., last)
  double cost = 0.0;  ///< evaluations that a sample takes in a step
  Index samples = 0, batch = 0, epochs = 0;
  std::optional<StepReadings> planned = {};  ///< of a step, where it does not read its batch
  [[nodiscard]] Index steps() const { return divide_up(samples, batch); }
};

/// A network without instruments has none of this, and pays nothing for it.
template <class S>
class Instruments {
 public:
  /// network: outlives this. seed: of the parameters at which the instruments are looked at. steadiness_rows: readings of one look; 0:
  /// none.
  Instruments(const Network<S>& network, std::uint64_t seed, Index steadiness_rows, std::vector<BlockTimeline> timeline = {});

  /// What the readings of layers [0, last) are for from now on. What is no step asks replicas that are at rest again, and steps after it
  /// do.
  void address(Index last, ReadingPurpose purpose, std::uint64_t step) const;
  /// Limited parameters of layers [first, last) move inside, so far that theta +- eps is inside too.
  void keep_inside(Network<S>& network, Index first, Index last, double eps) const;
  /// Noise and drift of the instruments in layers [first, last) after this epoch, once. Cost: steadiness_rows forward evaluations of each,
  /// billed as logging.
  void look(Index first, Index last, Index epoch, Ledger& ledger);

  /// Rows that each of them has read and accepted in this session.
  [[nodiscard]] std::vector<std::int64_t> rows_read() const;
  /// Bills what was read since rows_read() gave `before`, in work that has been taken back, as failed; what an instrument keeps is not
  /// lost.
  void bill_failed(const std::vector<std::int64_t>& before, Ledger& ledger) const;

  /// Bills the rows that maps have read again by themselves since the last call: of layers from `first` on to `account`, of those before,
  /// which are frozen, as propagation.
  void bill_repeated(Index first, std::int64_t Evaluations::*account, Ledger& ledger);

  /// Takes back what was billed to training for rows that replicas at rest were not asked for since the last call.
  void take_back_unasked(Ledger& ledger);
  /// Replicas that have been put to rest since the last call, a line each.
  [[nodiscard]] std::vector<std::string> put_to_rest();

  /// Time spent waiting for all of them so far, in all sessions of the run.
  [[nodiscard]] double seconds() const;
  /// Their records with what they were asked to do until now.
  [[nodiscard]] std::vector<InstrumentRecord> records() const;
  /// What looks have found, without the receipts of this session: to take back a look that was made in vain.
  [[nodiscard]] const std::vector<InstrumentRecord>& looked() const noexcept { return records_; }
  void take_back(std::vector<InstrumentRecord> looked) { records_ = std::move(looked); }
  /// Goes on with the records of an earlier session, which had billed `evaluations` to training: what is left out from now on is so since
  /// then. @throws DataError naming `place` if an instrument has another shape
  void take(const std::vector<InstrumentRecord>& kept, std::int64_t evaluations, const std::string& place);

 private:
  /// One of the instruments behind a layer, and which of the layer's parameters it holds.
  struct Part {
    const ForwardMap<S>* map;  ///< of its shape
    const Instrument<S>* instrument;
    Segment parameters;
    Index number = InstrumentRecord::kAlone;
    std::string address = {};
    const ReplicatedMap<S>* replicas = nullptr;  ///< of which it is one
    std::size_t member = 0;
  };
  /// What has been said and billed of a replica in this session.
  struct Replica {
    const ReplicatedMap<S>* set;  ///< null: it is none
    std::size_t member = 0;
    std::int64_t billed = 0;
    bool told = false;
    [[nodiscard]] typename ReplicatedMap<S>::Attendance attendance() const {
      return set != nullptr ? set->attendance(member) : typename ReplicatedMap<S>::Attendance{};
    }
  };
  void add(Index layer);
  void add(Index layer, const Part& part);
  [[nodiscard]] DeviceReceipt receipt_now(std::size_t i) const;
  void take(std::size_t i, const InstrumentRecord& kept, const std::string& place);
  [[nodiscard]] ReadingSeries series(Index last, ReadingPurpose purpose, std::uint64_t step) const;

  const Network<S>& network_;
  std::uint64_t seed_;
  Index steadiness_rows_;
  std::vector<BlockTimeline> timeline_;
  /// Maps and readouts whose simulated answers depend on the reading, with their layer.
  std::vector<std::pair<Index, const AddressedReadings*>> addressed_;
  struct Repeating {
    Index layer;
    const RepeatedReadings* map;
    std::int64_t billed;
  };
  std::vector<Repeating> repeating_;
  std::vector<InstrumentRecord> records_;          ///< receipts: of earlier sessions
  std::vector<const Instrument<S>*> instruments_;  ///< one for each record; null: left out
  std::vector<Segment> parameters_;                ///< of its layer, that each of them holds
  std::vector<Replica> replicas_;                  ///< one for each record
};

extern template class Instruments<float>;
extern template class Instruments<double>;

}  // namespace ffzero
