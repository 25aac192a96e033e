using System.Text.Json.Nodes;

namespace Hydragen.Models.Tests;

/// <summary>The malformed-file catalogue for sharded weights.</summary>
public sealed class WeightStoreTests
{
    private const string First = "model-00001-of-00002.safetensors", Second = "model-00002-of-00002.safetensors";

    [Fact]
    public void Shards_are_joined()
    {
        using var folder = new TemporaryFolder();
        WriteShards(folder, Index());
        using WeightStore store = WeightStore.Open(folder.Path);
        Assert.Equal(["a", "b", "c"], store.Tensors.Keys.Order(StringComparer.Ordinal));
        Assert.EndsWith(Second, store.Tensors["c"].File.Path, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("../x.safetensors")]
    [InlineData("sub/x.safetensors")]
    [InlineData("/tmp/x.safetensors")]
    [InlineData("C:\\x.safetensors")]
    [InlineData("C:x.safetensors")]
    [InlineData("\\\\server\\share\\x.safetensors")]
    [InlineData("..\\x.safetensors")]
    [InlineData("x\u0000.safetensors")]
    [InlineData("x\n.safetensors")]
    [InlineData("NUL.safetensors")]
    [InlineData("com1.safetensors")]
    [InlineData(".safetensors")]
    [InlineData("..")]
    [InlineData("")]
    [InlineData("weights.bin")]
    public void Shard_names_that_are_not_plain_are_refused(string name)
    {
        JsonObject index = Index();
        index["weight_map"]!["c"] = name;
        AssertRefused(index);
    }

    [Fact]
    public void Index_and_shards_must_agree()
    {
        JsonObject index = Index();
        index["weight_map"]!["d"] = Second;
        AssertRefused(index);
        index = Index();
        index["weight_map"]!.AsObject().Remove("b");
        AssertRefused(index);
        index = Index();
        index["weight_map"]!["b"] = Second;
        AssertRefused(index);
        index = Index();
        index["weight_map"]!["b"] = 17;
        AssertRefused(index);
        index = Index();
        index.Remove("weight_map");
        AssertRefused(index);
        index["weight_map"] = new JsonObject();
        AssertRefused(index);
        index["weight_map"] = new JsonArray();
        AssertRefused(index);
    }

    [Fact]
    public void A_tensor_in_two_shards_is_refused()
    {
        using var folder = new TemporaryFolder();
        WriteShards(folder, Index());
        WriteTensors(folder.File(Second), "c", "a");
        Assert.Throws<ModelFormatException>(() => WeightStore.Open(folder.Path).Dispose());
    }

    [Fact]
    public void A_missing_shard_is_named()
    {
        using var folder = new TemporaryFolder();
        WriteShards(folder, Index());
        File.Delete(folder.File(Second));
        Assert.Contains(Second, Assert.Throws<FileNotFoundException>(() => WeightStore.Open(folder.Path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Floods_of_shards_are_refused()
    {
        JsonObject index = Index();
        for (int i = 0; i < 100_000; i++) index["weight_map"]![$"t{i}"] = $"s{i}.safetensors";
        AssertRefused(index);
    }

    [Theory]
    [InlineData("{\"weight_map\":{\"a\":\"", "x")]
    [InlineData("{\"metadata\":[", "[],")]
    [InlineData("{\"metadata\":", "[")]
    [InlineData("{\"weight_map\":", " ")]
    [InlineData("[", "0,")]
    public void Hostile_indexes_are_refused_in_bounded_memory(string start, string repeated)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("model.safetensors.index.json"), start + string.Concat(Enumerable.Repeat(repeated, 30_000_000 / repeated.Length)));
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Throws<ModelFormatException>(() => WeightStore.Open(folder.Path).Dispose());
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.True(allocated < 64 << 20, $"{allocated} bytes were allocated");
    }

    [Theory]
    [InlineData("")]
    [InlineData("{\"weight_map\":{\"a\":\"x.safetensors\",\"a\":\"x.safetensors\"}}")]
    [InlineData("{\"weight_map\":{\"a\":\"x.safetensors\"},\"weight_map\":{\"a\":\"x.safetensors\"}}")]
    [InlineData("{\"weight_map\":{\"a\":\"x.safetensors\"}} {}")]
    [InlineData("{\"weight_map\":{\"\\ud800\":\"x.safetensors\"}}")]
    public void Malformed_indexes_are_refused(string text)
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("model.safetensors.index.json"), text);
        Assert.Throws<ModelFormatException>(() => WeightStore.Open(folder.Path).Dispose());
    }

    [Fact]
    public void Links_may_lead_to_the_blobs_of_a_download_cache_and_nowhere_else_outside()
    {
        using var root = new TemporaryFolder();
        using var elsewhere = new TemporaryFolder();
        string snapshot = root.File("snapshots/abc"), blobs = root.File("blobs");
        Directory.CreateDirectory(snapshot);
        Directory.CreateDirectory(blobs);
        File.WriteAllText(Path.Combine(snapshot, "model.safetensors.index.json"), Index().ToJsonString());
        WriteTensors(Path.Combine(blobs, "1"), "a", "b");
        WriteTensors(Path.Combine(blobs, "2"), "c");
        File.CreateSymbolicLink(Path.Combine(snapshot, First), "../../blobs/1");
        File.CreateSymbolicLink(Path.Combine(snapshot, Second), "../../blobs/2");
        WeightStore.Open(snapshot).Dispose();

        WriteTensors(elsewhere.File("outside"), "c");
        foreach (string target in new[] { elsewhere.File("outside"), "../../2", "missing", Second })
        {
            File.Delete(Path.Combine(snapshot, Second));
            File.CreateSymbolicLink(Path.Combine(snapshot, Second), target);
            Assert.ThrowsAny<Exception>(() => WeightStore.Open(snapshot).Dispose());
        }
    }

    [Fact]
    public void Other_weight_formats_are_refused_with_advice()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("pytorch_model.bin"), "x");
        Assert.Contains("safetensors", Assert.Throws<FileNotFoundException>(() => WeightStore.Open(folder.Path)).Message, StringComparison.Ordinal);
    }

    private static JsonObject Index() => new()
    {
        ["metadata"] = new JsonObject { ["total_size"] = 17 },
        ["weight_map"] = new JsonObject { ["a"] = First, ["b"] = First, ["c"] = Second },
    };

    private static void AssertRefused(JsonObject index)
    {
        using var folder = new TemporaryFolder();
        WriteShards(folder, index);
        Assert.Throws<ModelFormatException>(() => WeightStore.Open(folder.Path).Dispose());
    }

    private static void WriteShards(TemporaryFolder folder, JsonObject index)
    {
        File.WriteAllText(folder.File("model.safetensors.index.json"), index.ToJsonString());
        WriteTensors(folder.File(First), "a", "b");
        WriteTensors(folder.File(Second), "c");
    }

    private static void WriteTensors(string path, params string[] names) =>
        SafetensorsWriter.Write(path, [.. names.Select(name => SafetensorsEntry.FromSingles(name, [2], new float[2]))]);
}
