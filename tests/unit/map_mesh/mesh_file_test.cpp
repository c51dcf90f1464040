// The reference's archives: round trips and refusals.
// SPDX-License-Identifier: MIT
#include "ffzero/map/mesh/mesh_file.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "ffzero/map/mesh/interferometer_mesh.hpp"
#include "support/expect_error.hpp"
#include "support/property.hpp"
#include "support/temporary_folder.hpp"

namespace ffzero::test {
namespace {

MeshFile two_layers(const MeshLayout& layout) {
  MeshFile file;
  for (const std::uint64_t seed : {1U, 2U}) {
    Vector<float> theta(layout.parameter_count());
    InterferometerMesh<float>(layout).initialise(as_span(theta), RandomStream(seed, Stream::test));
    file.layers.emplace_back(theta.cast<double>());
    file.simplex_refs.emplace_back(normal_matrix<float>(3, layout.ports(), seed).cast<double>());
  }
  return file;
}

NpyArray floats(std::vector<Index> shape) {
  Index size = 1;
  for (const Index s : shape) size *= s;
  return NpyArray::of<float>(std::span<const float>(std::vector<float>(usize(size), 0.5F)), std::move(shape));
}

TEST(MeshFile, ReadsBackWhatItWrote) {
  for (const Index ports : {2, 5, 8}) {
    for (const bool dead : {false, true}) {
      const MeshLayout layout(ports, MeshGeometry::rectangular, dead);
      const MeshFile file = two_layers(layout);
      const TemporaryFolder folder;
      write_mesh_file(folder.path() / "meshes.npz", file, layout);
      const MeshFile read = read_mesh_file(folder.path() / "meshes.npz", layout);
      EXPECT_EQ(read.layers, file.layers);
      EXPECT_EQ(read.simplex_refs, file.simplex_refs);
    }
  }
}

TEST(MeshFile, HasTheReferencesShapes) {
  const MeshLayout layout(6);
  const NpzArchive arrays = write_mesh_arrays(two_layers(layout), layout);
  EXPECT_EQ(arrays.at("theta_0").shape, (std::vector<Index>{6, 3}));
  EXPECT_EQ(arrays.at("phi_1").shape, (std::vector<Index>{6, 3}));
  EXPECT_EQ(arrays.at("gamma_1").shape, (std::vector<Index>{1, 6}));
  EXPECT_EQ(arrays.at("simplex_refs").shape, (std::vector<Index>{2, 3, 6}));
  EXPECT_EQ(arrays.at("theta_0").type, NpyArray::Type::f32);
  EXPECT_EQ(arrays.at("theta_0").to<float>()[5], 0.0F);  // dead: column 1, pair 2
  EXPECT_EQ(arrays.size(), 7U);
}

TEST(MeshFile, DropsDeadEntriesOrKeepsThem) {
  const MeshLayout full(4, MeshGeometry::rectangular, true), live(4);
  const MeshFile file = two_layers(full);
  const MeshFile read = read_mesh_arrays(write_mesh_arrays(file, full), live, "f");
  const Matrix<float> x = normal_matrix<float>(2, 8, 9);
  Matrix<float> a(2, 8), b(2, 8);
  InterferometerMesh<float>(full).forward(as_span(Vector<float>(file.layers[1].cast<float>())), x, a);
  InterferometerMesh<float>(live).forward(as_span(Vector<float>(read.layers[1].cast<float>())), x, b);
  EXPECT_EQ(a, b);
}

TEST(MeshFile, TakesFlatGammaAndSharedOrNoPrototypes) {
  const MeshLayout layout(3);
  NpzArchive arrays{{"theta_0", floats({3, 1})}, {"phi_0", floats({3, 1})}, {"gamma_0", floats({3})}};
  EXPECT_TRUE(read_mesh_arrays(arrays, layout, "f").simplex_refs.empty());
  arrays["simplex_refs"] = floats({2, 3});
  const MeshFile file = read_mesh_arrays(arrays, layout, "f");
  ASSERT_EQ(file.simplex_refs.size(), 1U);
  EXPECT_EQ(file.simplex_refs[0], Matrix<double>::Constant(2, 3, 0.5));
}

TEST(MeshFile, NamesArraysThatDoNotFit) {
  const MeshLayout layout(4);
  const NpzArchive good{{"theta_0", floats({4, 2})}, {"phi_0", floats({4, 2})}, {"gamma_0", floats({1, 4})}};
  const auto message_with = [&](const std::string& name, std::vector<Index> shape) {
    NpzArchive arrays = good;
    arrays[name] = floats(std::move(shape));
    return message_of<DataError>([&] { static_cast<void>(read_mesh_arrays(arrays, layout, "m.npz")); });
  };
  EXPECT_EQ(message_with("theta_0", {6, 3}), "m.npz: array theta_0 must have shape (4, 2); got (6, 3); check the number of ports");
  EXPECT_EQ(message_with("phi_0", {8}), "m.npz: array phi_0 must have shape (4, 2); got (8,); check the number of ports");
  EXPECT_EQ(message_with("gamma_0", {5}), "m.npz: array gamma_0 must have shape (1, 4); got (5,); check the number of ports");
  EXPECT_EQ(message_with("simplex_refs", {2, 3, 4}),
            "m.npz: array simplex_refs must have shape (1, 3, 4); got (2, 3, 4); check the number of ports");
  EXPECT_EQ(message_with("theta_1", {4, 2}), "m.npz: needs an array phi_1 of shape (4, 2); got no such array");
  EXPECT_EQ(message_of<DataError>([&] { static_cast<void>(read_mesh_arrays({}, layout, "m.npz")); }),
            "m.npz: needs an array theta_0 of shape (4, 2); got no such array");
  NpzArchive infinite = good;
  const std::vector<float> values(8, std::numeric_limits<float>::infinity());
  infinite["theta_0"] = NpyArray::of<float>(std::span<const float>(values), {4, 2});
  EXPECT_EQ(message_of<DataError>([&] { static_cast<void>(read_mesh_arrays(infinite, layout, "m.npz")); }),
            "m.npz: array theta_0 must be finite; got inf");
}

TEST(MeshFile, IsForRectangularMeshesOfTheRightSize) {
  const MeshLayout triangular(4, MeshGeometry::triangular);
  EXPECT_THROW(static_cast<void>(read_mesh_arrays({}, triangular, "m.npz")), ConfigError);
  EXPECT_THROW(static_cast<void>(write_mesh_arrays({}, triangular)), ConfigError);
  MeshFile wrong = two_layers(MeshLayout(4));
  EXPECT_THROW(static_cast<void>(write_mesh_arrays(wrong, MeshLayout(5))), DataError);
  wrong.simplex_refs[1].resize(2, 4);
  EXPECT_THROW(static_cast<void>(write_mesh_arrays(wrong, MeshLayout(4))), DataError);
}

}  // namespace
}  // namespace ffzero::test
