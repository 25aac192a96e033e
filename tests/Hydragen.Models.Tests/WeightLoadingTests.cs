using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Hydragen.Core;

namespace Hydragen.Models.Tests;

/// <summary>Weights that do not fit their configuration are refused before anything is allocated, and nothing leaks.</summary>
public sealed class WeightLoadingTests
{
    public static TheoryData<string> TensorNames => [.. TinyLlama.Shapes().Keys];

    [Fact]
    public void A_complete_model_loads_and_frees_everything()
    {
        using var folder = new TemporaryFolder();
        TinyLlama.Write(folder);
        using var backend = new ScalarBackend();
        var reported = new Reported();
        DecoderModel model = DecoderModel.Load(folder.Path, backend, progress: reported, ct: TestContext.Current.CancellationToken);
        Assert.True(backend.NumLive > 0);
        Assert.Equal(reported.Values.Order(), reported.Values);
        Assert.Equal(1, reported.Values[^1]);
        model.Dispose();
        Assert.Equal(0, backend.NumLive);
    }

    [Theory]
    [MemberData(nameof(TensorNames))]
    public void A_missing_tensor_is_named(string name)
    {
        string message = AssertRefused(tensors => tensors.Remove(name));
        Assert.Contains(name, message, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(TensorNames))]
    public void Every_axis_of_every_tensor_must_fit_the_configuration(string name)
    {
        long[] shape = TinyLlama.Shapes()[name];
        var wrong = new List<long[]> { (long[])[.. shape, 1], shape[1..] };
        for (int axis = 0; axis < shape.Length; axis++)
        {
            foreach (int change in new[] { -1, 1 })
            {
                long[] other = [.. shape];
                other[axis] += change;
                wrong.Add(other);
            }
        }
        if (shape.Length == 2 && shape[0] != shape[1]) wrong.Add([shape[1], shape[0]]);
        foreach (long[] other in wrong)
        {
            string message = AssertRefused(tensors => tensors[name] = TinyLlama.Tensor(name, other));
            Assert.Contains(name, message, StringComparison.Ordinal);
            Assert.Contains($"[{string.Join(", ", shape)}]", message, StringComparison.Ordinal);
            Assert.Contains($"[{string.Join(", ", other)}]", message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("lm_head.bias")]
    [InlineData("model.layers.2.input_layernorm.weight")]
    [InlineData("model.layers.0.self_attn.q_proj.bias")]
    [InlineData("model.layers.0.self_attn.q_norm.weight")]
    public void An_unexpected_tensor_is_refused(string name) =>
        Assert.Contains(name, AssertRefused(tensors => tensors[name] = TinyLlama.Tensor(name, [16])), StringComparison.Ordinal);

    [Fact]
    public void Stored_rotary_frequencies_are_ignored()
    {
        using var folder = new TemporaryFolder();
        const string Name = "model.layers.0.self_attn.rotary_emb.inv_freq";
        TinyLlama.Write(folder, change: tensors => tensors[Name] = TinyLlama.Tensor(Name, [4]));
        using var backend = new ScalarBackend();
        DecoderModel.Load(folder.Path, backend, ct: TestContext.Current.CancellationToken).Dispose();
    }

    [Fact]
    public void Weights_must_be_floating_point()
    {
        const string Name = "model.layers.1.mlp.down_proj.weight";
        long[] shape = TinyLlama.Shapes()[Name];
        string message = AssertRefused(tensors => tensors[Name] = new SafetensorsEntry(Name, SafetensorsDtype.I32, shape, (_, bytes) => bytes.Clear()));
        Assert.Contains("I32", message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void Weights_that_are_not_finite_are_counted_and_refused(float value)
    {
        foreach (string name in TinyLlama.Shapes().Keys)
        {
            long[] shape = TinyLlama.Shapes()[name];
            var values = new float[shape.Aggregate(1L, (a, b) => a * b)];
            values[3] = value;
            values[^1] = value;
            string message = AssertRefused(tensors => tensors[name] = SafetensorsEntry.FromSingles(name, shape, values));
            Assert.Contains(name, message, StringComparison.Ordinal);
            Assert.Contains("2 numbers", message, StringComparison.Ordinal);
            Assert.Contains("element 3", message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Non_finite_numbers_are_found_in_every_type_and_at_every_place()
    {
        for (int length = 1; length < 80; length++)
        {
            for (int at = 0; at < length; at++)
            {
                var wide = new uint[length];
                var narrow = new ushort[length];
                wide.AsSpan().Fill(0xFF7F_FFFF);
                narrow.AsSpan().Fill(0xFF7F);
                Assert.Equal(-1, WeightNumbers.IndexOfNonFinite(ElementType.Float32, MemoryMarshal.AsBytes(wide.AsSpan())));
                Assert.Equal(-1, WeightNumbers.IndexOfNonFinite(ElementType.BFloat16, MemoryMarshal.AsBytes(narrow.AsSpan())));
                wide[at] = 0x7F80_0000;
                narrow[at] = 0xFF80;
                Assert.Equal(at, WeightNumbers.IndexOfNonFinite(ElementType.Float32, MemoryMarshal.AsBytes(wide.AsSpan())));
                Assert.Equal(at, WeightNumbers.IndexOfNonFinite(ElementType.BFloat16, MemoryMarshal.AsBytes(narrow.AsSpan())));
                narrow.AsSpan().Fill(0xFBFF);
                Assert.Equal(-1, WeightNumbers.IndexOfNonFinite(ElementType.Float16, MemoryMarshal.AsBytes(narrow.AsSpan())));
                narrow[at] = 0x7C01;
                Assert.Equal(at, WeightNumbers.IndexOfNonFinite(ElementType.Float16, MemoryMarshal.AsBytes(narrow.AsSpan())));
            }
        }
    }

    [Fact]
    public void A_tied_model_may_store_its_head_only_as_an_exact_copy()
    {
        using var folder = new TemporaryFolder();
        using var backend = new ScalarBackend();
        JsonObject config = TinyLlama.Config();
        config["tie_word_embeddings"] = true;
        SafetensorsEntry table = TinyLlama.Tensor("model.embed_tokens.weight", [TinyLlama.VocabularySize, TinyLlama.HiddenSize]);
        TinyLlama.Write(folder, config, tensors => tensors.Remove("lm_head.weight"));
        DecoderModel.Load(folder.Path, backend, ct: TestContext.Current.CancellationToken).Dispose();
        TinyLlama.Write(folder, config, tensors => tensors["lm_head.weight"] = table with { Name = "lm_head.weight" });
        DecoderModel.Load(folder.Path, backend, ct: TestContext.Current.CancellationToken).Dispose();
        TinyLlama.Write(folder, config);
        Assert.Contains("lm_head.weight", AssertRefused(folder).Message, StringComparison.Ordinal);
        TinyLlama.Write(folder, config, tensors => tensors["lm_head.weight"] = TinyLlama.Tensor("lm_head.weight", [TinyLlama.VocabularySize, 1]));
        AssertRefused(folder);
    }

    [Fact]
    public void Fused_parts_of_different_types_are_widened()
    {
        using var folder = new TemporaryFolder();
        using var backend = new ScalarBackend();
        int[] ids = [3, 1, 4, 1, 5, 9, 2, 6];
        string[] rounded = ["model.layers.0.self_attn.k_proj.weight", "model.layers.1.mlp.up_proj.weight"];
        TinyLlama.Write(folder, change: tensors =>
        {
            foreach (string name in rounded) tensors[name] = TinyLlama.BFloat16Tensor(name, TinyLlama.Shapes()[name]);
        });
        using DecoderModel mixed = DecoderModel.Load(folder.Path, backend, ct: TestContext.Current.CancellationToken);
        using var other = new TemporaryFolder();
        TinyLlama.Write(other, change: tensors =>
        {
            foreach (string name in rounded)
            {
                long[] shape = TinyLlama.Shapes()[name];
                var bits = new ushort[shape[0] * shape[1]];
                TinyLlama.BFloat16Tensor(name, shape).Fill(0, MemoryMarshal.AsBytes(bits.AsSpan()));
                tensors[name] = SafetensorsEntry.FromSingles(name, shape, bits.Select(BFloat16Bits.ToSingle).ToArray());
            }
        });
        using DecoderModel single = DecoderModel.Load(other.Path, backend, ct: TestContext.Current.CancellationToken);
        Assert.Equal(GoldenModel.Run(single, ids, 8), GoldenModel.Run(mixed, ids, 8));
    }

    [Fact]
    public void A_file_cut_while_it_is_loaded_is_an_exception_and_leaks_nothing()
    {
        using var folder = new TemporaryFolder();
        TinyLlama.Write(folder);
        using var backend = new ScalarBackend();
        string path = folder.File("model.safetensors");
        var cut = new Callback(() =>
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
            stream.SetLength(stream.Length / 2);
        });
        Assert.Throws<ModelFormatException>(() => DecoderModel.Load(folder.Path, backend, progress: cut, ct: TestContext.Current.CancellationToken));
        Assert.Equal(0, backend.NumLive);
    }

    [Fact]
    public void A_load_can_be_cancelled_and_leaks_nothing()
    {
        using var folder = new TemporaryFolder();
        TinyLlama.Write(folder);
        using var backend = new ScalarBackend();
        using var source = new CancellationTokenSource();
        var cancel = new Callback(source.Cancel);
        Assert.ThrowsAny<OperationCanceledException>(() => DecoderModel.Load(folder.Path, backend, progress: cancel, ct: source.Token));
        Assert.Equal(0, backend.NumLive);
    }

    [Fact]
    public void Weights_larger_than_memory_are_refused_at_once()
    {
        using var folder = new TemporaryFolder();
        if (!TinyLlama.TryWriteTooLarge(folder)) Assert.Skip("this file system has no sparse files of this size");
        using var backend = new ScalarBackend();
        Assert.Throws<InsufficientMemoryException>(() => DecoderModel.Load(folder.Path, backend, ct: TestContext.Current.CancellationToken));
        Assert.Equal(0, backend.NumLive);
    }

    private static string AssertRefused(Action<Dictionary<string, SafetensorsEntry>> change)
    {
        using var folder = new TemporaryFolder();
        TinyLlama.Write(folder, change: change);
        return AssertRefused(folder).Message;
    }

    private static ModelFormatException AssertRefused(TemporaryFolder folder)
    {
        using var backend = new ScalarBackend();
        var e = Assert.Throws<ModelFormatException>(() => DecoderModel.Load(folder.Path, backend, ct: TestContext.Current.CancellationToken));
        Assert.Equal(0, backend.NumLive);
        return e;
    }

    private sealed class Reported : IProgress<double>
    {
        public List<double> Values { get; } = [];

        public void Report(double value) => Values.Add(value);
    }

    private sealed class Callback(Action action) : IProgress<double>
    {
        private bool _isDone;

        public void Report(double value)
        {
            if (_isDone) return;
            _isDone = true;
            action();
        }
    }
}
