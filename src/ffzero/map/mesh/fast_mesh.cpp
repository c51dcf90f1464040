// Batches, tiles and threads around the mesh kernel. Private to map/mesh.
// SPDX-License-Identifier: MIT
#include "ffzero/map/mesh/fast_mesh.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "ffzero/map/mesh/scratch.hpp"

namespace ffzero::mesh_kernel {

namespace {

constexpr Index kCacheFloats = 256 * 1024;        // state of a tile: 1 MiB, half of a current second-level cache
constexpr Index kSlopeDoubles = 4 * 1024 * 1024;  // all shards' sums together: 32 MiB
constexpr Index kWorthForking = 16 * 1024;        // phases; below, waking threads costs more than packing

template <class Work>
void for_each(const Executor* executor, Index shards, Work&& work) {
  if (executor != nullptr && shards > 1) {
    executor->run(shards, work);
  } else {
    for (Index i = 0; i < shards; ++i) work(i);
  }
}

/// A contiguous part of the batch in bundles of `lanes` samples.
struct Tiling {
  Index lanes, bundles, tile;  // tile: bundles per tile
  [[nodiscard]] Index tiles() const noexcept { return divide_up(bundles, tile); }
  [[nodiscard]] Index first(Index t) const noexcept { return t * tile; }
  [[nodiscard]] Index count(Index t) const noexcept { return std::min(tile, bundles - t * tile); }
};

Index samples(const Tiling& tiling, Index rows, Index bundle) { return std::min(tiling.lanes, rows - bundle * tiling.lanes); }

/// Coefficients of a mesh for one set of phases, all blocks at once.
class PackedMesh {
 public:
  using Pack = Form (*)(const MeshLayout&, const Phases&, Index, float*);

  PackedMesh(const MeshLayout& layout, const Grid& grid, Pack pack, const Phases& phases, const Executor* executor,
             Index coefficients = kCoefficients)
      : block_size_(grid.positions() * coefficients), memory_(block_size_ * grid.blocks), forms_(grid.blocks) {
    const bool fork = layout.parameter_count() >= kWorthForking;
    for_each(fork ? executor : nullptr, grid.blocks,
             [&](Index b) { forms_.data()[b] = pack(layout, phases, b, memory_.data() + b * block_size_); });
  }
  [[nodiscard]] const float* block(Index b) const noexcept { return memory_.data() + b * block_size_; }
  [[nodiscard]] Form form(Index b) const noexcept { return forms_.data()[b]; }

 private:
  Index block_size_;
  Scratch<float> memory_;
  Scratch<Form> forms_;
};

/// Copies bundles of a batch into states.
void load_tile(const Kernel& kernel, const Grid& grid, const MeshLayout& layout, const Tiling& tiling, Index t, const Batch& x,
               float* states) {
  const Index state_size = grid.rows * 2 * tiling.lanes;
  for (Index b = 0; b < tiling.count(t); ++b) {
    const Index row = (tiling.first(t) + b) * tiling.lanes;
    kernel.load(grid, layout.ports(), x.re + row * x.stride, x.im + row * x.stride, x.stride, samples(tiling, x.rows, tiling.first(t) + b),
                states + b * state_size);
  }
}

void store_bundle(const Kernel& kernel, const Grid& grid, const MeshLayout& layout, const Tiling& tiling, Index bundle, Index rows,
                  const float* state, const Output& y) {
  const Index row = bundle * tiling.lanes;
  kernel.store(grid, layout.ports(), state, samples(tiling, rows, bundle), y.re + row * y.re_stride, y.re_stride,
               y.im == nullptr ? nullptr : y.im + row * y.im_stride, y.im_stride);
}

}  // namespace

namespace {

/// A tile of the batch on its way through the mesh, for one set of phases after the other.
class Passage {
 public:
  Passage(const Kernel& kernel, const MeshLayout& layout, const Grid& grid, const Tiling& tiling, Index t, const Batch& x)
      : k_(kernel),
        layout_(layout),
        grid_(grid),
        tiling_(tiling),
        t_(t),
        rows_(x.rows),
        input_(tiling.count(t) * state_size()),
        states_(tiling.count(t) * state_size()),
        input_phases_(2 * layout.ports()) {
    load_tile(k_, grid_, layout_, tiling_, t_, x, input_.data());
  }

  /// packed null: every block is packed when its turn comes and stays in the first-level cache.
  void run(const Phases& phases, const PackedMesh* packed, const Output& y) const {
    k_.pack_input(layout_, phases, input_phases_.data());
    for (Index b = 0; b < tiling_.count(t_); ++b) {
      k_.rotate(grid_, layout_.ports(), input_phases_.data(), false, input_.data() + b * state_size(), state(b));
    }
    if (packed != nullptr) {
      for (Index block = 0; block < grid_.blocks; ++block) sweep(packed->form(block), packed->block(block));
    } else {
      const Scratch<float> coefficients(grid_.positions() * kCoefficients);
      for (Index block = 0; block < grid_.blocks; ++block) {
        const Form form = k_.pack_forward(layout_, phases, block, coefficients.data());
        sweep(form, coefficients.data());
      }
    }
    for (Index b = 0; b < tiling_.count(t_); ++b) store_bundle(k_, grid_, layout_, tiling_, tiling_.first(t_) + b, rows_, state(b), y);
  }

 private:
  [[nodiscard]] Index state_size() const noexcept { return grid_.rows * 2 * tiling_.lanes; }
  [[nodiscard]] float* state(Index b) const noexcept { return states_.data() + b * state_size(); }
  void sweep(Form form, const float* coefficients) const {
    for (Index b = 0; b < tiling_.count(t_); ++b) k_.sweep_forward(grid_, form, coefficients, state(b));
  }

  const Kernel& k_;
  const MeshLayout& layout_;
  const Grid& grid_;
  const Tiling& tiling_;
  Index t_, rows_;
  Scratch<float> input_, states_, input_phases_;
};

}  // namespace

void evaluate(const MeshLayout& layout, std::span<const Phases> phases, const Batch& x, std::span<const Output> y,
              const Executor* executor) {
  if (x.rows == 0) return;
  const Kernel& k = kernel();
  const Grid grid(layout, k.forward_width);
  const Index threads = executor == nullptr ? 1 : executor->threads();
  // Sets of phases share the transposed input on one thread and go side by side on several. Lanes never meet, so the cut may follow the
  // number of threads without a trace in the results.
  const Index sets = isize(phases.size());
  const Index abreast = std::min(sets, threads);
  Tiling tiling{.lanes = k.lanes, .bundles = divide_up(x.rows, k.lanes), .tile = 1};
  tiling.tile = std::clamp(kCacheFloats / (grid.rows * 2 * k.lanes), Index{1}, divide_up(tiling.bundles, divide_up(threads, abreast)));
  const bool pack_once = tiling.tiles() > 1;
  std::array<std::optional<PackedMesh>, 2> packed;
  for (Index s = 0; pack_once && s < sets; ++s) packed[usize(s)].emplace(layout, grid, k.pack_forward, phases[usize(s)], executor);
  for_each(executor, abreast * tiling.tiles(), [&](Index job) {
    const Passage passage(k, layout, grid, tiling, job / abreast, x);
    for (Index s = job % abreast; s < sets; s += abreast) {
      const auto& own = packed[usize(s)];
      passage.run(phases[usize(s)], own ? &*own : nullptr, y[usize(s)]);
    }
  });
}

namespace {

/// Sums of a reverse sweep over all samples: `each` for a position of a block, then one for each port; a part of their own for each shard.
class ReverseSums {
 public:
  using Sweep = void (*)(const Grid&, const float*, float*, float*, double*);

  ReverseSums(const MeshLayout& layout, const Grid& grid, Index each, const Batch& y)
      : layout_(layout),
        grid_(grid),
        block_slopes_(grid.positions() * each),
        all_slopes_(grid.blocks * block_slopes_ + layout.ports()),
        tiling_{.lanes = kernel().lanes, .bundles = divide_up(y.rows, kernel().lanes), .tile = 4},
        shards_(std::min(tiling_.tiles(), std::clamp(kSlopeDoubles / all_slopes_, Index{2}, Index{8}))),
        slopes_(shards_ * all_slopes_) {}

  void run(Sweep sweep, const PackedMesh& packed, const Phases& phases, const Batch& y, const Batch& gy, const Output& gx,
           const Executor* executor) {
    const Kernel& k = kernel();
    const Scratch<float> input_phases(2 * layout_.ports());
    k.pack_input(layout_, phases, input_phases.data());
    const Index state_size = grid_.rows * 2 * k.lanes;
    for_each(executor, shards_, [&](Index s) {
      double* const sums = slopes_.data() + s * all_slopes_;
      std::fill_n(sums, all_slopes_, 0.0);
      const Scratch<float> light(tiling_.tile * state_size);
      const Scratch<float> gradient(tiling_.tile * state_size);
      for (Index t = s * tiling_.tiles() / shards_; t < (s + 1) * tiling_.tiles() / shards_; ++t) {
        load_tile(k, grid_, layout_, tiling_, t, y, light.data());
        load_tile(k, grid_, layout_, tiling_, t, gy, gradient.data());
        for (Index block = grid_.blocks - 1; block >= 0; --block) {
          for (Index b = 0; b < tiling_.count(t); ++b) {
            sweep(grid_, packed.block(block), light.data() + b * state_size, gradient.data() + b * state_size,
                  sums + block * block_slopes_);
          }
        }
        for (Index b = 0; b < tiling_.count(t); ++b) {
          float* const g = gradient.data() + b * state_size;
          k.input_slopes(grid_, layout_.ports(), light.data() + b * state_size, g, sums + grid_.blocks * block_slopes_);
          if (gx.re == nullptr) continue;
          k.rotate(grid_, layout_.ports(), input_phases.data(), true, g, g);
          store_bundle(k, grid_, layout_, tiling_, tiling_.first(t) + b, y.rows, g, gx);
        }
      }
    });
  }

  /// Calls visit(entry of the blocks of parameters, position of its first sum) for every interferometer.
  template <class Visit>
  void for_each_pair(Index each, const Executor* executor, Visit&& visit) const {
    const bool fork = layout_.parameter_count() >= kWorthForking;
    for_each(fork ? executor : nullptr, grid_.blocks, [&](Index block) {
      for (Index l = block * grid_.width; l < std::min(layout_.columns(), (block + 1) * grid_.width); ++l) {
        const Index j = (block + 1) * grid_.width - 1 - l;
        for (Index p = 0; p < layout_.pairs(l); ++p)
          visit(layout_.offset(l) + p, block * block_slopes_ + each * grid_.position(MeshLayout::top_waveguide(l, p), j, 1));
      }
    });
  }
  [[nodiscard]] double total(Index at) const {
    double sum = 0.0;
    for (Index s = 0; s < shards_; ++s) sum += slopes_.data()[s * all_slopes_ + at];
    return sum;
  }
  [[nodiscard]] double port(Index w) const { return total(grid_.blocks * block_slopes_ + w); }

 private:
  const MeshLayout& layout_;
  const Grid& grid_;
  Index block_slopes_, all_slopes_;
  Tiling tiling_;
  Index shards_;
  Scratch<double> slopes_;
};

}  // namespace

void pull_back(const MeshLayout& layout, const float* theta, const Batch& y, const Batch& gy, float* gtheta, const Output& gx,
               const Executor* executor) {
  if (y.rows == 0) return;
  const Kernel& k = kernel();
  const Grid grid(layout, k.backward_width);
  const Phases phases{.theta = theta};
  const PackedMesh packed(layout, grid, k.pack_backward, phases, executor);
  ReverseSums sums(layout, grid, 2, y);
  sums.run(k.sweep_backward, packed, phases, y, gy, gx, executor);
  sums.for_each_pair(2, executor, [&](Index i, Index at) {
    gtheta[i] += static_cast<float>(0.5 * sums.total(at));  // dt = dtheta / 2
    gtheta[layout.phi_begin() + i] += static_cast<float>(sums.total(at + 1));
  });
  for (Index w = 0; w < layout.ports(); ++w) gtheta[layout.gamma_begin() + w] += static_cast<float>(sums.port(w));
}

ResolvedMesh::ResolvedMesh(const MeshLayout& layout, const float* theta, const CouplerAngles& couplers, const float* amplitude)
    : memory_(8 * layout.block_size() + 2 * layout.ports()) {
  const Index block = layout.block_size();
  float* next = memory_.data();
  for (float** array :
       {&out_.sin_t, &out_.cos_t, &out_.cos_phi, &out_.sin_phi, &out_.cos_turn, &out_.sin_turn, &out_.cos_half, &out_.sin_half}) {
    *array = next;
    next += block;
  }
  out_.cos_gamma = next;
  out_.sin_gamma = next + layout.ports();
  kernel().resolve(layout, theta, couplers, out_);
  mesh_ = {out_.sin_t, out_.cos_t, out_.cos_phi, out_.sin_phi, amplitude, out_.cos_gamma, out_.sin_gamma};
}

void pull_back_lossy(const MeshLayout& layout, const ResolvedMesh& mesh, const Batch& y, const Batch& gy, const LossySlopes& slopes,
                     const Output& gx, const Executor* executor) {
  constexpr Index kEach = 4;
  std::fill_n(slopes.interferometers, kEach * layout.block_size(), 0.0);
  std::fill_n(slopes.gamma, layout.ports(), 0.0);
  if (y.rows == 0) return;
  const Kernel& k = kernel();
  const Grid grid(layout, k.backward_width);
  const Phases phases = mesh.phases();
  const PackedMesh packed(layout, grid, k.pack_backward_lossy, phases, executor, kLossyCoefficients);
  ReverseSums sums(layout, grid, kEach, y);
  sums.run(k.sweep_backward_lossy, packed, phases, y, gy, gx, executor);
  sums.for_each_pair(kEach, executor, [&](Index i, Index at) {
    for (Index s = 0; s < kEach; ++s) slopes.interferometers[kEach * i + s] = sums.total(at + s);
  });
  for (Index w = 0; w < layout.ports(); ++w) slopes.gamma[w] = sums.port(w);
}

}  // namespace ffzero::mesh_kernel
