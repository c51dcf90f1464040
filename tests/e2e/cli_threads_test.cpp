// The number of threads changes nothing but the time.
// SPDX-License-Identifier: MIT
#include "compare_runs.hpp"

namespace ffzero::test {
namespace {

class Threads : public ::testing::TestWithParam<Variant> {};

TEST_P(Threads, GiveTheSameBits) {
  Workplace place;
  const Arguments train = train_on(place, sample_archive(GetParam().data)) + GetParam().arguments + Arguments{"--epochs", "2"};
  for (const char* threads : {"1", "2", "3"}) succeed(place, train + Arguments{"--threads", threads, "--out", threads});
  expect_same_run(place.path("1"), place.path("2"));
  expect_same_run(place.path("1"), place.path("3"));
}

const Arguments kDense{"--layers", "30,20", "--batch-size", "80"};
const Arguments kMesh{"--model", "photonic", "--layers", "2", "--batch-size", "40"};

INSTANTIATE_TEST_SUITE_P(
    Cli, Threads,
    ::testing::Values(
        Variant{"DenseDirectional", kFeatures, kDense + Arguments{"--solver", "ff_dd", "--directions", "3"}},
        Variant{"DenseAdjoint", kFeatures, kDense + Arguments{"--solver", "ff_ad"}},
        Variant{"DenseActivity", kFeatures, kDense + Arguments{"--solver", "ff_activity"}},
        Variant{"DenseGroups", kFeatures, kDense + Arguments{"--solver", "ff_dd", "--set", "model.groups=5"}},
        Variant{"DenseEndToEndDirectional", kFeatures, kDense + Arguments{"--solver", "bp_dd"}},
        Variant{"DenseEndToEndAdjoint", kFeatures, kDense + Arguments{"--solver", "bp_ad"}},
        Variant{"DensePca", kFeatures, kDense + Arguments{"--solver", "ff_ad", "--set", "model.pca=[12,10]"}},
        Variant{"ConvDirectional", kImages, kConvolutions + kProjections + Arguments{"--batch-size", "40", "--solver", "ff_dd"}},
        Variant{"ConvAdjoint", kImages, kConvolutions + kProjections + Arguments{"--batch-size", "40", "--solver", "ff_ad"}},
        Variant{"ConvActivity", kImages, kConvolutions + kProjections + Arguments{"--batch-size", "40", "--solver", "ff_activity"}},
        Variant{"ConvEndToEndAdjoint", kImages, kConvolutions + Arguments{"--batch-size", "40", "--solver", "bp_ad"}},
        Variant{"ConvEndToEndDirectional", kImages, kConvolutions + Arguments{"--batch-size", "40", "--solver", "bp_dd"}},
        Variant{"MeshDirectional", kFields, kMesh + Arguments{"--solver", "ff_dd"}},
        Variant{"MeshAdjoint", kFields, kMesh + Arguments{"--solver", "ff_ad"}},
        Variant{"MeshCoordinate", kFields, kMesh + Arguments{"--solver", "ff_coordinate"}},
        Variant{"MeshEndToEndAdjoint", kFields, kMesh + Arguments{"--solver", "bp_ad"}}),
    [](const auto& parameter) { return parameter.param.name; });

}  // namespace
}  // namespace ffzero::test
