// Several meshes that look at the same light.
// SPDX-License-Identifier: MIT
#include "ffzero/map/mesh/parallel_meshes.hpp"

#include "ffzero/map/mesh/field_maps.hpp"
#include "ffzero/map/mesh/scratch.hpp"
#include "ffzero/map/shape_check.hpp"

namespace ffzero {

namespace {

constexpr std::string_view kMeshes = "ParallelMeshes";

/// Columns of one mesh in a batch of fields (or, `powers`, of powers) of all of them.
template <class S>
struct MeshColumns {
  MatrixRef<S> re, im;
  bool powers;

  MeshColumns(MatrixRef<S>& all, Index ports, Index m, bool only_powers)
      : re(all.middleCols(m * ports, ports)),
        im(all.middleCols(only_powers ? 0 : all.cols() / 2 + m * ports, ports)),
        powers(only_powers) {}
  [[nodiscard]] FieldTarget<S> target() { return {&re, powers ? nullptr : &im}; }
};

}  // namespace

template <class S>
ParallelMeshes<S>::ParallelMeshes(const MeshLayout& layout, Index count, std::shared_ptr<const Executor> executor)
    : mesh_(layout, std::move(executor)), count_(count) {
  if (count < 1) throw ConfigError("model.mesh.parallel", "must be at least 1", std::to_string(count));
}

template <class S>
ParameterLayout ParallelMeshes<S>::parameter_layout() const {
  ParameterLayout all{.groups = count_, .units = {}};
  for (Index m = 0; m < count_; ++m) {
    const ParameterLayout one = mesh_.layout().parameter_layout(m * mesh_.parameter_count(), m);
    all.units.insert(all.units.end(), one.units.begin(), one.units.end());
  }
  return all;
}

template <class S>
void ParallelMeshes<S>::initialise(std::span<S> theta, const RandomStream& random) const {
  for (Index m = 0; m < count_; ++m) mesh_.initialise(of_mesh(theta, m), m == 0 ? random : random.at(static_cast<std::uint64_t>(m)));
}

template <class S>
void ParallelMeshes<S>::forward(std::span<const S> theta, const ConstMatrixRef<S>& x, MatrixRef<S> y) const {
  require_shapes<S>(kMeshes, x, input_shape(), y, output_shape());
  if (isize(theta.size()) != parameter_count())
    throw ShapeError(kMeshes, "theta must have " + std::to_string(parameter_count()) + " entries", std::to_string(theta.size()));
  for (Index m = 0; m < count_; ++m) mesh_.forward_to(of_mesh(theta, m), x, MeshColumns<S>(y, ports(), m, false).target());
}

template <class S>
void ParallelMeshes<S>::forward_pairs(std::span<const S> theta, const ConstMatrixRef<S>& directions, double eps, const ConstMatrixRef<S>& x,
                                      const ForwardMap<S>* readout, const PairSink<S>& sink) const {
  const bool powers = readout != nullptr;
  const Index width = (powers ? 1 : 2) * count_ * ports();
  const Scratch<S> memory(2 * x.rows() * width);
  MatrixRef<S> plus = Eigen::Map<Matrix<S>>(memory.data(), x.rows(), width);
  MatrixRef<S> minus = Eigen::Map<Matrix<S>>(memory.data() + x.rows() * width, x.rows(), width);
  for (Index j = 0; j < directions.rows(); ++j) {
    const std::span<const S> direction(directions.data() + j * directions.outerStride(), theta.size());
    for (Index m = 0; m < count_; ++m) {
      MeshColumns<S> up(plus, ports(), m, powers);
      MeshColumns<S> down(minus, ports(), m, powers);
      mesh_.pair_to(of_mesh(theta, m), of_mesh(direction, m), eps, x, up.target(), down.target());
    }
    sink(j, plus, minus);
  }
}

template <class S>
void ParallelMeshes<S>::pullback(std::span<const S> theta, const ConstMatrixRef<S>& x, const ConstMatrixRef<S>& y,
                                 const ConstMatrixRef<S>& gy, std::span<S> gtheta, MatrixRef<S>* gx) const {
  require_shapes<S>(kMeshes, x, input_shape(), y, output_shape());
  require_shapes<S>(kMeshes, x, input_shape(), gy, output_shape());
  Matrix<S> part(gx == nullptr ? 0 : x.rows(), x.cols());
  MatrixRef<S> part_ref = part;
  for (Index m = 0; m < count_; ++m) {
    mesh_.pullback(of_mesh(theta, m), x, fields_of_mesh<S>(y, ports(), m), fields_of_mesh<S>(gy, ports(), m), of_mesh(gtheta, m),
                   gx == nullptr ? nullptr : &part_ref);
    if (gx == nullptr) continue;
    if (m == 0) {
      *gx = part;
    } else {
      *gx += part;
    }
  }
}

template class ParallelMeshes<float>;
template class ParallelMeshes<double>;

}  // namespace ffzero
