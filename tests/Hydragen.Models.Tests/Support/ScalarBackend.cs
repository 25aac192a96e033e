using Hydragen.Core;

namespace Hydragen.Models.Tests;

/// <summary>The backend contract in the plainest possible code, with FP64 sums: the oracle for the forward pass.</summary>
internal sealed class ScalarBackend : IComputeBackend
{
    private readonly ChosenTokens _chosen = new();

    public string Description => "scalar";

    public IReadOnlyList<KernelChoice> Kernels => [];

    /// <summary>Buffers, matrices and caches that were made and not disposed.</summary>
    public int NumLive { get; private set; }

    public BackendMemory Memory => new(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes, long.MaxValue, long.MaxValue);

    public ElementType ComputeTypeFor(ElementType weightType) => ElementType.Float32;

    public int PreferredBatchRows => 512;

    public ElementType WeightTypeFor(ElementType queryType, ElementType kvType) => ElementType.Float32;

    public DeviceBuffer Allocate(ElementType elementType, long length)
    {
        var buffer = new ScalarBuffer(elementType, length, () => NumLive--);
        Array.Fill(buffer.Values, float.NaN);
        NumLive++;
        return buffer;
    }

    public KvCache CreateKvCache(KvCacheShape shape, int numPages)
    {
        NumLive++;
        return new ScalarKvCache(shape, numPages, () => NumLive--);
    }

    public PackedMatrix PackMatrix(MatrixSource source, WeightType weightType = WeightType.Model)
    {
        var bytes = new byte[source.InputSize * source.ElementType.SizeInBytes()];
        var values = new float[source.OutputSize * source.InputSize];
        for (int row = 0; row < source.OutputSize; row++)
        {
            source.ReadRows(row, bytes);
            WeightNumbers.Widen(source.ElementType, bytes, values.AsSpan(row * source.InputSize, source.InputSize));
        }
        if (weightType == WeightType.Int8)
        {
            for (int row = 0; row < source.OutputSize; row++) RoundToInt8(values.AsSpan(row * source.InputSize, source.InputSize));
        }
        NumLive++;
        return new ScalarMatrix(source, weightType, values, () => NumLive--);
    }

    public void EmbeddingLookup(PackedMatrix table, ReadOnlySpan<int> tokenIds, float scale, DeviceBuffer output)
    {
        var matrix = (ScalarMatrix)table;
        Assert.Equal(WeightType.Model, matrix.WeightType);
        tokenIds = _chosen.Resolve(tokenIds);
        for (int row = 0; row < tokenIds.Length; row++)
        {
            for (int i = 0; i < matrix.InputSize; i++) Set(output, row * matrix.InputSize + i, matrix.Values[tokenIds[row] * matrix.InputSize + i] * scale);
        }
    }

    public void RmsNorm(DeviceBuffer input, int numRows, DeviceBuffer weight, float epsilon, DeviceBuffer output)
    {
        int size = (int)weight.Length;
        for (int row = 0; row < numRows; row++) Normalize(Values(input).AsSpan(row * size, size), Values(weight), epsilon, output, row * size);
    }

    public void AddRmsNorm(
        DeviceBuffer residual, DeviceBuffer delta, float deltaScale, int numRows, DeviceBuffer weight, float epsilon, DeviceBuffer output)
    {
        for (int i = 0; i < numRows * weight.Length; i++) Set(residual, i, Values(residual)[i] + Values(delta)[i] * deltaScale);
        RmsNorm(residual, numRows, weight, epsilon, output);
    }

    public void Linear(DeviceBuffer input, int numRows, PackedMatrix matrix, DeviceBuffer output)
    {
        Assert.NotSame(input, output);
        var weights = (ScalarMatrix)matrix;
        for (int row = 0; row < numRows; row++)
        {
            for (int o = 0; o < matrix.OutputSize; o++)
                Set(output, row * matrix.OutputSize + o, (float)(Dot(Values(input), row * matrix.InputSize, weights, o) + weights.Bias(o)));
        }
    }

    public void RotaryAppend(
        DeviceBuffer queryKeyValue, AttentionShape shape, QueryKeyNorm? norm, RotaryEmbedding? rotary,
        ReadOnlySpan<int> positions, ReadOnlySpan<int> slots, KvCache cache, int layer, DeviceBuffer query)
    {
        int headDim = shape.HeadDim, querySize = shape.NumHeads * headDim, kvSize = shape.NumKvHeads * headDim;
        for (int row = 0; row < positions.Length; row++)
        {
            float[] joint = Values(queryKeyValue).AsSpan(row * (querySize + 2 * kvSize), querySize + 2 * kvSize).ToArray();
            for (int head = 0; head < shape.NumHeads + shape.NumKvHeads; head++)
            {
                Span<float> values = joint.AsSpan(head * headDim, headDim);
                if (norm is not null)
                {
                    using DeviceBuffer normed = Allocate(ElementType.Float32, headDim);
                    Normalize(values, Values(head < shape.NumHeads ? norm.QueryWeight : norm.KeyWeight), norm.Epsilon, normed, 0);
                    normed.Download(values);
                }
                if (rotary is not null) Rotate(values, rotary, positions[row]);
            }
            query.Upload(joint.AsSpan(0, querySize), row * querySize);
            cache.Write(layer, slots.Slice(row, 1), joint.AsSpan(querySize, kvSize), joint.AsSpan(querySize + kvSize, kvSize));
        }
    }

    public void Attention(
        AttentionPlan plan, AttentionShape shape, AttentionOptions options, DeviceBuffer query, KvCache cache, int layer,
        DeviceBuffer output, DeviceBuffer? logSumExp)
    {
        var pages = (ScalarKvCache)cache;
        var result = new double[plan.NumRows * shape.NumHeads * shape.HeadDim];
        ReferenceAttention.Compute(
            plan, shape, options, Values(query).AsSpan(0, result.Length), pages.Keys[layer], pages.Values[layer], result,
            new double[plan.NumRows * shape.NumHeads]);
        for (int i = 0; i < result.Length; i++) Set(output, i, (float)result[i]);
    }

    public void GatedActivation(DeviceBuffer gateUp, int numRows, int intermediateSize, ActivationKind activation, DeviceBuffer output)
    {
        for (int row = 0; row < numRows; row++)
        {
            for (int i = 0; i < intermediateSize; i++)
            {
                double gate = Values(gateUp)[row * 2 * intermediateSize + i], up = Values(gateUp)[(row * 2 + 1) * intermediateSize + i];
                Set(output, row * intermediateSize + i, (float)(Activate(gate, activation) * up));
            }
        }
    }

    public void ChooseTokens(DeviceBuffer logits, int rowSize, ReadOnlySpan<TokenChoice> choices, int first, bool withLogProbabilities)
    {
        for (int row = 0; row < choices.Length; row++)
            _chosen.Choose(((ScalarBuffer)logits).Values.AsSpan(row * rowSize, rowSize), choices[row], first + row, withLogProbabilities);
    }

    public PendingTokens ReadTokens(int numTokens) => _chosen.Read(numTokens);

    public void Logits(DeviceBuffer hidden, ReadOnlySpan<int> rows, PackedMatrix head, float scale, float? softCap, DeviceBuffer logits)
    {
        for (int i = 0; i < rows.Length; i++)
        {
            for (int o = 0; o < head.OutputSize; o++)
            {
                double logit = Dot(Values(hidden), rows[i] * head.InputSize, (ScalarMatrix)head, o) * scale;
                Set(logits, i * head.OutputSize + o, (float)(softCap is float cap ? cap * Math.Tanh(logit / cap) : logit));
            }
        }
    }

    public void Dispose()
    {
    }

    private static float[] Values(DeviceBuffer buffer) => ((ScalarBuffer)buffer).Values;

    private static void Set(DeviceBuffer buffer, long index, float value) => ((ScalarBuffer)buffer).Set(index, value);

    private static double Dot(float[] input, int offset, ScalarMatrix matrix, int row)
    {
        double sum = 0;
        Span<float> values = input.AsSpan(offset, matrix.InputSize);
        if (matrix.WeightType == WeightType.Int8) RoundToInt8(values = values.ToArray());
        for (int i = 0; i < matrix.InputSize; i++) sum += (double)values[i] * matrix.Values[row * matrix.InputSize + i];
        return sum;
    }

    private static void RoundToInt8(Span<float> row)
    {
        float largest = 0;
        foreach (float value in row) largest = Math.Max(largest, Math.Abs(value));
        if (largest == 0) return;
        float factor = 127 / largest, scale = largest / 127;
        for (int i = 0; i < row.Length; i++) row[i] = MathF.Round(row[i] * factor) * scale;
    }

    private static void Normalize(ReadOnlySpan<float> input, float[] weight, float epsilon, DeviceBuffer output, int offset)
    {
        double squares = 0;
        foreach (float value in input) squares += (double)value * value;
        double scale = 1 / Math.Sqrt(squares / input.Length + epsilon);
        for (int i = 0; i < input.Length; i++) Set(output, offset + i, (float)(input[i] * scale * weight[i]));
    }

    private static void Rotate(Span<float> head, RotaryEmbedding rotary, int position)
    {
        int half = rotary.RotaryDim / 2;
        float[] cos = new float[half], sin = new float[half];
        rotary.GetFactors(position, cos, sin);
        for (int i = 0; i < half; i++)
        {
            (float x, float y) = (head[i], head[i + half]);
            head[i] = x * cos[i] - y * sin[i];
            head[i + half] = y * cos[i] + x * sin[i];
        }
    }

    private static double Activate(double x, ActivationKind kind) => kind switch
    {
        ActivationKind.Silu => x / (1 + Math.Exp(-x)),
        ActivationKind.GeluTanh => 0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))),
        _ => 0.5 * x * (1 + Erf(x / Math.Sqrt(2))),
    };

    /// <summary>Maclaurin series up to |x| = 3, continued fraction beyond; about 1e-14.</summary>
    private static double Erf(double x)
    {
        double a = Math.Abs(x);
        double result = 0;
        if (a < 3)
        {
            double term = a;
            for (int n = 0; Math.Abs(term) > 1e-18; n++)
            {
                result += term / (2 * n + 1);
                term *= -a * a / (n + 1);
            }
            result *= 2 / Math.Sqrt(Math.PI);
        }
        else
        {
            double fraction = a;
            for (int k = 60; k >= 1; k--) fraction = a + k / 2.0 / fraction;
            result = 1 - Math.Exp(-a * a) / Math.Sqrt(Math.PI) / fraction;
        }
        return Math.CopySign(result, x);
    }

    private sealed class ScalarBuffer(ElementType elementType, long length, Action disposed) : DeviceBuffer(elementType, length)
    {
        public float[] Values { get; } = new float[length];

        public void Set(long index, float value) => Values[index] = Round(value, ElementType);

        public override void Upload(ReadOnlySpan<float> source, long offset = 0)
        {
            for (int i = 0; i < source.Length; i++) Set(offset + i, source[i]);
        }

        public override void Download(Span<float> destination, long offset = 0) => Values.AsSpan((int)offset, destination.Length).CopyTo(destination);

        protected override void Dispose(bool disposing) => disposed();
    }

    private sealed class ScalarMatrix(MatrixSource source, WeightType weightType, float[] values, Action disposed)
        : PackedMatrix(source.OutputSize, source.InputSize, weightType)
    {
        private readonly float[] _bias = source.Bias.ToArray();

        public float[] Values { get; } = values;

        public override long SizeInBytes => (long)OutputSize * InputSize * (WeightType == WeightType.Int8 ? 1 : source.ElementType.SizeInBytes());

        public float Bias(int row) => _bias.Length == 0 ? 0 : _bias[row];

        protected override void Dispose(bool disposing) => disposed();
    }

    private sealed class ScalarKvCache : KvCache
    {
        private readonly Action _disposed;

        public ScalarKvCache(KvCacheShape shape, int numPages, Action disposed)
            : base(shape)
        {
            if (shape.IsMixed) throw new ArgumentException("This cache has one type.", nameof(shape));
            _disposed = disposed;
            Keys = new float[shape.NumLayers][];
            Values = new float[shape.NumLayers][];
            Reserve(numPages);
        }

        public float[][] Keys { get; }

        public float[][] Values { get; }

        private int TokenSize => Shape.NumKvHeads * Shape.HeadDim;

        public override long BytesOf(PageKind kind) => Shape.BytesPerTokenOf(kind) * PageSize;

        public override void Copy(int sourceSlot, int destinationSlot, int numTokens)
        {
            foreach (float[] layer in Keys.Concat(Values)) Array.Copy(layer, sourceSlot * TokenSize, layer, destinationSlot * TokenSize, numTokens * TokenSize);
        }

        public override void Write(int layer, ReadOnlySpan<int> slots, ReadOnlySpan<float> key, ReadOnlySpan<float> value)
        {
            NoteStored();
            for (int i = 0; i < slots.Length * Shape.NumKvHeads; i++)
            {
                int head = i % Shape.NumKvHeads, target = slots[i / Shape.NumKvHeads] * TokenSize + head * Shape.HeadDim;
                KvScale scale = ScaleOf(PageKind.Suffix, layer, head);
                Store(key.Slice(i * Shape.HeadDim, Shape.HeadDim), Keys[layer].AsSpan(target, Shape.HeadDim), scale.Key);
                Store(value.Slice(i * Shape.HeadDim, Shape.HeadDim), Values[layer].AsSpan(target, Shape.HeadDim), scale.Value);
            }

            void Store(ReadOnlySpan<float> source, Span<float> destination, float scale)
            {
                source.CopyTo(destination);
                KvRounding.Round(destination, Shape.HeadDim, Shape.ElementType, scale);
            }
        }

        public override void FindLargest(int layer, ReadOnlySpan<int> slots, Span<KvMagnitude> largest)
        {
            CheckFindLargest(layer, slots, largest);
            largest.Clear();
            foreach (int slot in slots)
            {
                ReadOnlySpan<float> key = Keys[layer].AsSpan(slot * TokenSize, TokenSize), value = Values[layer].AsSpan(slot * TokenSize, TokenSize);
                for (int head = 0; head < largest.Length; head++)
                    largest[head] = largest[head].Max(KvMagnitude.Of(key, value, Shape.NumKvHeads, Shape.HeadDim, head));
            }
        }

        protected override int PagesPerChunk(int numMissing) => numMissing;

        protected override IDisposable Allocate(int firstPage, int numPages, PageKind kind)
        {
            for (int layer = 0; layer < Shape.NumLayers; layer++)
            {
                Array.Resize(ref Keys[layer], (firstPage + numPages) * PageSize * TokenSize);
                Array.Resize(ref Values[layer], (firstPage + numPages) * PageSize * TokenSize);
            }
            return Stream.Null;
        }

        protected override void Dispose(bool disposing) => _disposed();
    }

    private static float Round(float value, ElementType type) => type switch
    {
        ElementType.BFloat16 => BFloat16Bits.ToSingle(BFloat16Bits.FromSingle(value)),
        ElementType.Float16 => (float)(Half)value,
        _ => value,
    };
}
