using Hydragen.Core;
using Hydragen.Cpu;

namespace Hydragen.Models.Tests;

/// <summary>Models over several ranks: the shares put together are the model, and compute its logits.</summary>
public sealed class ModelShareTests
{
    private const int Hidden = 24, NumHeads = 8, NumKvHeads = 4, HeadDim = 8, Inner = 40, Vocabulary = 29;

    /// <summary>Every architecture with a type and a number of ranks.</summary>
    public static TheoryData<string, SafetensorsDtype, int> Cases
    {
        get
        {
            var cases = new TheoryData<string, SafetensorsDtype, int>();
            foreach (Architecture architecture in Architecture.All)
            {
                string name = architecture.Name.Replace("ForCausalLM", "", StringComparison.Ordinal);
                cases.Add(name, SafetensorsDtype.F32, 2);
                cases.Add(name, SafetensorsDtype.BF16, 4);
            }
            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void The_shares_of_all_ranks_are_the_rows_and_columns_of_the_model(string architecture, SafetensorsDtype dtype, int size)
    {
        using TemporaryFolder folder = Write(architecture, dtype);
        ModelConfiguration config = ModelConfiguration.Load(folder.Path);
        using WeightStore store = WeightStore.Open(folder.Path);
        LayerSources whole = Catalog(config, store, 0, 1).Layers[1];
        LayerSources[] shares = [.. Enumerable.Range(0, size).Select(rank => Catalog(config, store, rank, size).Layers[1])];
        int query = NumHeads * HeadDim, keyValue = NumKvHeads * HeadDim;

        AssertRows(whole.QueryKeyValue, [.. shares.Select(share => share.QueryKeyValue)], [query, keyValue, keyValue]);
        AssertRows(whole.GateUp, [.. shares.Select(share => share.GateUp)], [Inner, Inner]);
        AssertColumns(whole.Output, [.. shares.Select(share => share.Output)]);
        AssertColumns(whole.Down, [.. shares.Select(share => share.Down)]);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Ranks_together_yield_the_logits_of_one_and_all_the_same(string architecture, SafetensorsDtype dtype, int size)
    {
        using TemporaryFolder folder = Write(architecture, dtype);
        float[] expected = ThreadGroupRun(folder.Path, 1, new DecoderOptions())[0];
        float[][] found = ThreadGroupRun(folder.Path, size, new DecoderOptions());
        Tolerance.AssertClose(expected, found[0], Tolerance.GoldenLogit);
        foreach (float[] other in found) Assert.Equal(found[0], other);
    }

    [Theory]
    [InlineData(ElementType.BFloat16)]
    [InlineData(ElementType.Float16)]
    public void Rounded_activations_move_the_logits_of_ranks_within_the_bound(ElementType type)
    {
        using TemporaryFolder folder = Write("Llama", SafetensorsDtype.F32);
        float[] expected = ThreadGroupRun(folder.Path, 1, new DecoderOptions())[0];
        float[][] found = ThreadGroupRun(folder.Path, 4, new DecoderOptions { ComputeType = type });
        Tolerance.AssertRelative(expected, found[0], Tolerance.RoundedLogits(type, numLayers: 2));
    }

    [Fact]
    public void INT8_weights_of_ranks_stay_within_the_bound()
    {
        using TemporaryFolder folder = Write("Llama", SafetensorsDtype.F32);
        float[] expected = ThreadGroupRun(folder.Path, 1, new DecoderOptions())[0];
        float[][] found = ThreadGroupRun(folder.Path, 2, new DecoderOptions { WeightType = WeightType.Int8 });
        Tolerance.AssertRelative(expected, found[0], Tolerance.Int8Logits(2));
    }

    [Fact]
    public void A_rank_keeps_and_reads_its_share_only()
    {
        using TemporaryFolder folder = Write("Mistral", SafetensorsDtype.BF16);
        ModelConfiguration config = ModelConfiguration.Load(folder.Path);
        using WeightStore store = WeightStore.Open(folder.Path);
        WeightCatalog whole = Catalog(config, store, 0, 1), first = Catalog(config, store, 0, 4), last = Catalog(config, store, 3, 4);
        long head = Vocabulary * Hidden * 2, norms = 5 * Hidden * 2, matrices = whole.TotalBytes - 2 * head - norms;
        Assert.Equal(2 * head + norms + matrices / 4, first.TotalBytes);
        Assert.Equal(head + norms + matrices / 4, last.TotalBytes);
        long[] bytes = ThreadGroup.Run(4, group =>
        {
            using var backend = new CpuBackend(new CpuOptions { NumThreads = 1 });
            using DecoderModel model = DecoderModel.Load(folder.Path, backend, new DecoderOptions { Group = group });
            Assert.Equal(NumKvHeads / 4, model.KvCacheShape.NumKvHeads);
            return model.WeightBytes;
        });
        Assert.All(bytes[1..], other => Assert.True(other < bytes[0]));
    }

    [Theory]
    [InlineData(3, "8 query heads")]
    [InlineData(8, "4 key/value heads")]
    public void What_cannot_be_split_is_refused_by_name_before_anything_is_read(int size, string what)
    {
        using TemporaryFolder folder = Write("Llama", SafetensorsDtype.F32);
        File.Delete(folder.File("model.safetensors"));
        ArgumentException exception = Assert.Throws<ArgumentException>(() => ThreadGroupRun(folder.Path, size, new DecoderOptions()));
        Assert.Contains(what, exception.Message, StringComparison.Ordinal);
        Assert.Contains("1, 2, 4", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Ranks_that_load_different_models_say_so()
    {
        using TemporaryFolder one = Write("Llama", SafetensorsDtype.F32), other = Write("Llama", SafetensorsDtype.BF16);
        RankGroupException exception = Assert.Throws<RankGroupException>(() => ThreadGroup.Run(2, group =>
        {
            using var backend = new CpuBackend(new CpuOptions { NumThreads = 1 });
            using DecoderModel model = DecoderModel.Load(
                group.Rank == 0 ? one.Path : other.Path, backend, new DecoderOptions { Group = group, ComputeType = ElementType.Float32 });
            return 0;
        }));
        Assert.Contains("the model", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Each_half_of_a_layer_is_added_up_once()
    {
        using TemporaryFolder folder = Write("Llama", SafetensorsDtype.F32);
        long[] reduced = ThreadGroup.Run(2, group =>
        {
            Logits(folder.Path, new DecoderOptions { Group = group }, pieceLength: 70);
            return group.NumReduced;
        });
        Assert.All(reduced, count => Assert.Equal(2 * 2 * 70 * Hidden, count));
    }

    private static float[][] ThreadGroupRun(string folder, int size, DecoderOptions options) => size == 1
        ? [Logits(folder, options, 9)]
        : ThreadGroup.Run(size, group => Logits(folder, options with { Group = group }, 9));

    private static float[] Logits(string folder, DecoderOptions options, int pieceLength)
    {
        using var backend = new CpuBackend(new CpuOptions { NumThreads = 1 });
        using DecoderModel model = DecoderModel.Load(folder, backend, options);
        var random = new Random(7);
        return GoldenModel.Run(model, [.. Enumerable.Range(0, 70).Select(_ => random.Next(Vocabulary))], pieceLength);
    }

    private static WeightCatalog Catalog(ModelConfiguration config, WeightStore store, int rank, int size) =>
        new(config, new ModelShare(config, rank, size), store, new LoadProgress(null, CancellationToken.None));

    /// <summary>The rows of the blocks of a matrix come from the shares in turn, block by block; so do the biases.</summary>
    private static void AssertRows(TensorMatrixSource whole, TensorMatrixSource[] shares, int[] blocks)
    {
        byte[] expected = Bytes(whole);
        byte[][] parts = [.. shares.Select(Bytes)];
        int rowBytes = expected.Length / whole.OutputSize, row = 0;
        var offsets = new int[shares.Length];
        foreach (int block in blocks)
        {
            for (int i = 0; i < block; i++, row++)
            {
                int rank = i / (block / shares.Length), partRow = offsets[rank]++;
                Assert.Equal(expected.AsSpan(row * rowBytes, rowBytes), parts[rank].AsSpan(partRow * rowBytes, rowBytes));
                if (!whole.Bias.IsEmpty) Assert.Equal(whole.Bias.Span[row], shares[rank].Bias.Span[partRow]);
            }
        }
        Assert.Equal(whole.OutputSize, row);
        Assert.All(shares, share => Assert.Equal(whole.Bias.Length / shares.Length, share.Bias.Length));
    }

    /// <summary>Each row is the rows of the shares side by side; the bias is the first one's alone.</summary>
    private static void AssertColumns(TensorMatrixSource whole, TensorMatrixSource[] shares)
    {
        byte[] expected = Bytes(whole);
        byte[][] parts = [.. shares.Select(Bytes)];
        int rowBytes = expected.Length / whole.OutputSize, partBytes = rowBytes / shares.Length;
        for (int row = 0; row < whole.OutputSize; row++)
        {
            byte[] joined = [.. parts.SelectMany(part => part.AsSpan(row * partBytes, partBytes).ToArray())];
            Assert.Equal(expected.AsSpan(row * rowBytes, rowBytes).ToArray(), joined);
        }
        Assert.Equal(whole.Bias.ToArray(), shares[0].Bias.ToArray());
        Assert.All(shares[1..], share => Assert.True(share.Bias.IsEmpty));
    }

    private static byte[] Bytes(TensorMatrixSource source)
    {
        var bytes = new byte[(long)source.OutputSize * source.InputSize * source.ElementType.SizeInBytes()];
        source.ReadRows(0, bytes);
        return bytes;
    }

    private static TemporaryFolder Write(string architecture, SafetensorsDtype dtype)
    {
        var folder = new TemporaryFolder();
        RandomModel.Write(folder, $$"""
            {"architectures": ["{{architecture}}ForCausalLM"], "hidden_size": {{Hidden}}, "num_attention_heads": {{NumHeads}},
             "num_key_value_heads": {{NumKvHeads}}, "head_dim": {{HeadDim}}, "vocab_size": {{Vocabulary}}, "intermediate_size": {{Inner}},
             "num_hidden_layers": 2, "tie_word_embeddings": false{{(architecture is "Llama" or "Granite" ? ", \"attention_bias\": true, \"mlp_bias\": true" : "")}}}
            """, dtype, seed: 5);
        return folder;
    }
}
