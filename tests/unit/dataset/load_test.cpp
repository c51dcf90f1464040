// load_dataset: finding files, choosing classes, tasks and validation, and what is refused.
// SPDX-License-Identifier: MIT
#include "ffzero/dataset/load.hpp"

#include <gtest/gtest.h>

#include "ffzero/tensor/npz.hpp"
#include "support/expect_error.hpp"
#include "unit/dataset/idx_bytes.hpp"
#include "unit/dataset/source_files.hpp"

namespace ffzero {
namespace {

DatasetOptions options(const std::string& name, const std::filesystem::path& dir = {}) {
  DatasetOptions o;
  o.name = name;
  o.dir = dir;
  return o;
}

template <class E>
std::string refusal(const DatasetOptions& o) {
  return test::message_of<E>([&] { (void)load_dataset(o); });
}

std::vector<std::int32_t> labels_of(const Dataset& set) { return {set.labels().begin(), set.labels().end()}; }

// A loaded idx set of 30 + 10 images of 4 x 4 pixels.
class SmallImages : public testing::Test {
 protected:
  SmallImages() { test::write_idx_set(folder_, "idx", 4); }
  [[nodiscard]] DatasetOptions small() const { return options("idx", folder_.path()); }
  [[nodiscard]] std::string file(const std::string& name) const { return (folder_.path() / "idx" / name).string(); }
  test::TemporaryFolder folder_;
};

TEST_F(SmallImages, AreFoundInTheFolderOfTheirNameOrInTheFolderItself) {
  for (const auto& dir : {folder_.path(), folder_.path() / "idx"}) {
    const Splits s = load_dataset(options("idx", dir));
    EXPECT_EQ(s.train.size(), 30);
    EXPECT_EQ(s.test.size(), 10);
    EXPECT_EQ(s.train.classes(), 10);
    EXPECT_EQ(s.train.shape(), (Shape{1, 4, 4}));
    EXPECT_EQ(s.train.bytes(1)[0], 16);
  }
}

TEST_F(SmallImages, AreFoundGzipped) {
  for (const std::string_view name : kIdxNames) {
    const std::string plain = file(std::string(name));
    folder_.write(plain + ".gz", test::gzipped(test::read_file(plain)));
    std::filesystem::remove(plain);
  }
  EXPECT_EQ(load_dataset(small()).train.bytes(1)[0], 16);
}

TEST_F(SmallImages, HoldOutTheLastTrainingImages) {
  DatasetOptions o = small();
  o.validation = 4;
  const Splits s = load_dataset(o);
  EXPECT_EQ(s.train.size(), 26);
  EXPECT_EQ(labels_of(s.validation), (std::vector<std::int32_t>{6, 7, 8, 9}));
  EXPECT_EQ(s.test.size(), 10);
  o.validation = 30;
  EXPECT_EQ(refusal<ConfigError>(o), "dataset.validation: must leave samples to train on: fewer than 30; got 30; lower it");
  o.validation = 21;
  EXPECT_EQ(refusal<ConfigError>(o),
            "dataset.validation: must leave a training sample of every class; got 21, which leaves none of class 9; lower it or shuffle "
            "the data");
  o.validation = -1;
  EXPECT_EQ(refusal<ConfigError>(o), "dataset.validation: must not be negative; got -1");
}

TEST_F(SmallImages, CanBeLimitedToSomeClasses) {
  DatasetOptions o = small();
  o.classes = 3;
  EXPECT_EQ(labels_of(load_dataset(o).test), (std::vector<std::int32_t>{0, 1, 2}));
  o.classes = 0;
  o.class_list = {7, 2};
  const Splits s = load_dataset(o);
  EXPECT_EQ(labels_of(s.test), (std::vector<std::int32_t>{1, 0}));
  EXPECT_EQ(s.train.size(), 6);
  EXPECT_EQ(s.train.info().class_names, (std::vector<std::int32_t>{7, 2}));
}

TEST_F(SmallImages, RefuseClassesThatCannotBeChosen) {
  DatasetOptions o = small();
  o.classes = 11;
  EXPECT_EQ(refusal<ConfigError>(o), "dataset.classes: idx has 10 classes; got 11; lower it");
  o.classes = 1;
  EXPECT_EQ(refusal<ConfigError>(o), "dataset.classes: classification needs at least 2 classes; got 1; choose more");
  o.classes = 2;
  o.class_list = {1, 2};
  EXPECT_EQ(refusal<ConfigError>(o), "dataset.classes: must be a number or a list, not both");
  o.classes = 0;
  o.class_list = {1, 10};
  EXPECT_EQ(refusal<ConfigError>(o), "dataset.classes: labels must be 0 to 9; got 10; choose among these");
  o.class_list = {1, 2, 1};
  EXPECT_EQ(refusal<ConfigError>(o), "dataset.classes: labels must differ; got 1 twice; remove one");
  o.class_list = {1, 2};
  o.task = "regression";
  EXPECT_EQ(refusal<ConfigError>(o), "dataset.classes: has no effect in regression; remove it");
}

TEST_F(SmallImages, CanBeARegression) {
  DatasetOptions o = small();
  o.task = "regression";
  const Splits s = load_dataset(o);
  EXPECT_EQ(s.train.task(), Task::regression);
  EXPECT_EQ(s.train.targets()[0], -1.0F);
  EXPECT_EQ(s.test.targets()[9], 1.0F);
  o.task = "classify";
  EXPECT_EQ(refusal<ConfigError>(o), "dataset.task: must be auto, classification or regression; got \"classify\"");
}

TEST_F(SmallImages, RefuseAnEmptyClass) {
  std::vector<std::uint8_t> labels(30, 0);
  labels[3] = 2;
  folder_.write("idx/train-labels-idx1-ubyte", test::idx_labels(labels));
  folder_.write("idx/t10k-labels-idx1-ubyte", test::idx_labels(test::cyclic_labels(10, 3)));
  EXPECT_EQ(refusal<DataError>(small()), folder_.path().string() +
                                             ": every class needs a training sample; got none of class 1; number the labels 0 .. K - 1 "
                                             "or list those to use in dataset.classes");
  DatasetOptions o = small();
  o.class_list = {0, 2};
  EXPECT_EQ(load_dataset(o).train.size(), 30);
}

TEST_F(SmallImages, RefuseFilesThatDoNotBelongTogether) {
  folder_.write("idx/train-labels-idx1-ubyte", test::idx_labels(test::cyclic_labels(29, 10)));
  EXPECT_EQ(refusal<DataError>(small()), file("train-labels-idx1-ubyte") + ": must have one label for each of the 30 images in " +
                                             file("train-images-idx3-ubyte") + "; got 29 labels; check that the two files belong together");
  test::write_idx_set(folder_, "idx", 4);
  folder_.write("idx/t10k-images-idx3-ubyte", test::idx_images(10, 4, 5));
  EXPECT_EQ(refusal<DataError>(small()),
            folder_.path().string() +
                ": test images must have the size of the train images, 1x4x4; got 4 x 5; check that the files belong together");
}

TEST_F(SmallImages, SayWhichFileIsMissing) {
  std::filesystem::remove(file("t10k-labels-idx1-ubyte"));
  EXPECT_EQ(refusal<DataError>(small()),
            folder_.path().string() +
                ": must hold t10k-labels-idx1-ubyte (or .gz), or a folder idx with it; got no such file; set dataset.dir to the "
                "folder that holds the files");
}

TEST(Mnist, NeedsDigitsOfItsSize) {
  const test::TemporaryFolder folder;
  test::write_idx_set(folder, "mnist", 28);
  EXPECT_EQ(load_dataset(options("mnist", folder.path())).train.size(), 30);
  auto labels = test::cyclic_labels(30, 10);
  labels[12] = 10;
  const auto path = folder.write("mnist/train-labels-idx1-ubyte", test::idx_labels(labels));
  EXPECT_EQ(refusal<DataError>(options("mnist", folder.path())),
            path.string() + ": labels must be 0 to 9; got label 10 of sample 12; download the file again");
  test::write_idx_set(folder, "mnist", 5);
  EXPECT_EQ(refusal<DataError>(options("mnist", folder.path())),
            path.string() + ": belongs to mnist, whose images are 28 x 28; got 5 x 5; use dataset.name = \"idx\" for other images");
  EXPECT_EQ(refusal<DataError>(options("fashion-mnist", "nowhere")),
            "nowhere: must hold train-images-idx3-ubyte (or .gz), or a folder fashion-mnist with it; got no such file; run `ffzero "
            "datasets fetch "
            "fashion-mnist`, set dataset.dir, or use dataset.name = \"glyphs\"");
}

TEST(LoadDataset, ReadsAnNpzFile) {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "my.npz";
  const std::vector<double> x{1, 2, 3, 4, 5, 6};
  const std::vector<std::int64_t> y{0, 1, 0, 1, 0, 1};
  const NpyArray samples = NpyArray::of<double>(x, {6, 1}), labels = NpyArray::of<std::int64_t>(y, {6});
  write_npz(path, {{"x_train", samples}, {"y_train", labels}, {"x_test", samples}, {"y_test", labels}});
  DatasetOptions o = options("npz", path);
  o.validation = 2;
  const Splits s = load_dataset(o);
  EXPECT_EQ(s.train.size(), 4);
  EXPECT_EQ(s.validation.values(0)[0], 5.0F);
  const NpyArray gap = NpyArray::of<std::int64_t>(std::vector<std::int64_t>{0, 1, 3, 1, 0, 1}, {6});
  write_npz(path, {{"x_train", samples}, {"y_train", gap}, {"x_test", samples}, {"y_test", labels}});
  EXPECT_EQ(refusal<DataError>(options("npz", path)), path.string() +
                                                          ": every class needs a training sample; got none of class 2; number the labels 0 "
                                                          ".. K - 1 or list those to use in dataset.classes");
}

TEST(LoadDataset, MakesTheBuiltInSets) {
  EXPECT_EQ(load_dataset(options("glyphs")).train.classes(), 10);
  DatasetOptions o = options("function1");
  o.validation = 1000;
  EXPECT_EQ(load_dataset(o).validation.size(), 1000);
  EXPECT_EQ(load_dataset(options("function2")).train.shape().width, 5);
  o.task = "classification";
  EXPECT_EQ(refusal<ConfigError>(o),
            "dataset.task: function1 has real targets and no classes; got \"classification\"; use \"regression\" or \"auto\"");
  o.task = "auto";
  o.classes = 3;
  EXPECT_EQ(refusal<ConfigError>(o), "dataset.classes: has no effect in regression; remove it");
  EXPECT_EQ(refusal<ConfigError>(options("cifar")),
            "dataset.name: must be mnist, fashion-mnist, function1, function2, glyphs, npz, csv, idx or memory; got \"cifar\"");
}

TEST(LoadDataset, ReadsTables) {
  const test::TemporaryFolder folder;
  const auto file = folder.write("t.csv", "a,kind\n1,x\n2,y\n3,x\n4,y\n5,x\n6,y\n");
  const Splits s = load_dataset(options("csv", file));
  EXPECT_EQ(s.train.info().class_texts, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(s.train.size() + s.test.size(), 6);
  const auto two = folder.write("two.csv", "a,u,v\n1,2.5,3.5\n2,3.5,4.5\n3,4.5,5\n");
  DatasetOptions o = options("csv", two);
  o.csv.label = "u,v";
  EXPECT_EQ(load_dataset(o).train.outputs(), 2);
}

}  // namespace
}  // namespace ffzero
