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

constexpr Index divide_up(Index a, Index b) { return (a + b - 1) / b; }

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

  PackedMesh(const MeshLayout& layout, const Grid& grid, Pack pack, const Phases& phases, const Executor* executor)
      : block_size_(grid.positions() * kCoefficients), memory_(block_size_ * grid.blocks), forms_(grid.blocks) {
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

void pull_back(const MeshLayout& layout, const float* theta, const Batch& y, const Batch& gy, float* gtheta, const Output& gx,
               const Executor* executor) {
  if (y.rows == 0) return;
  const Kernel& k = kernel();
  const Grid grid(layout, k.backward_width);
  const Phases phases{.theta = theta};
  const PackedMesh packed(layout, grid, k.pack_backward, phases, executor);
  const Scratch<float> input_phases(2 * layout.ports());
  k.pack_input(layout, phases, input_phases.data());
  const Index state_size = grid.rows * 2 * k.lanes;
  const Index block_slopes = grid.positions() * 2;
  const Index all_slopes = grid.blocks * block_slopes + layout.ports();
  const Tiling tiling{.lanes = k.lanes, .bundles = divide_up(y.rows, k.lanes), .tile = 4};
  const Index shards = std::min(tiling.tiles(), std::clamp(kSlopeDoubles / all_slopes, Index{2}, Index{8}));
  const Scratch<double> slopes(shards * all_slopes);

  for_each(executor, shards, [&](Index s) {
    double* const sums = slopes.data() + s * all_slopes;
    std::fill_n(sums, all_slopes, 0.0);
    const Scratch<float> light(tiling.tile * state_size);
    const Scratch<float> gradient(tiling.tile * state_size);
    for (Index t = s * tiling.tiles() / shards; t < (s + 1) * tiling.tiles() / shards; ++t) {
      load_tile(k, grid, layout, tiling, t, y, light.data());
      load_tile(k, grid, layout, tiling, t, gy, gradient.data());
      for (Index block = grid.blocks - 1; block >= 0; --block) {
        for (Index b = 0; b < tiling.count(t); ++b) {
          k.sweep_backward(grid, packed.block(block), light.data() + b * state_size, gradient.data() + b * state_size,
                           sums + block * block_slopes);
        }
      }
      for (Index b = 0; b < tiling.count(t); ++b) {
        float* const g = gradient.data() + b * state_size;
        k.input_slopes(grid, layout.ports(), light.data() + b * state_size, g, sums + grid.blocks * block_slopes);
        if (gx.re == nullptr) continue;
        k.rotate(grid, layout.ports(), input_phases.data(), true, g, g);
        store_bundle(k, grid, layout, tiling, tiling.first(t) + b, y.rows, g, gx);
      }
    }
  });

  const auto total = [&](Index at) {
    double sum = 0.0;
    for (Index s = 0; s < shards; ++s) sum += slopes.data()[s * all_slopes + at];
    return sum;
  };
  const bool fork = layout.parameter_count() >= kWorthForking;
  for_each(fork ? executor : nullptr, grid.blocks, [&](Index block) {
    for (Index l = block * grid.width; l < std::min(layout.columns(), (block + 1) * grid.width); ++l) {
      const Index j = (block + 1) * grid.width - 1 - l;
      for (Index p = 0; p < layout.pairs(l); ++p) {
        const Index at = block * block_slopes + 2 * grid.position(MeshLayout::top_waveguide(l, p), j, 1);
        gtheta[layout.offset(l) + p] += static_cast<float>(0.5 * total(at));  // dt = dtheta / 2
        gtheta[layout.phi_begin() + layout.offset(l) + p] += static_cast<float>(total(at + 1));
      }
    }
  });
  for (Index w = 0; w < layout.ports(); ++w) {
    gtheta[layout.gamma_begin() + w] += static_cast<float>(total(grid.blocks * block_slopes + w));
  }
}

}  // namespace ffzero::mesh_kernel
