using Hydragen.Core;

namespace Hydragen.Cuda;

/// <content>The operators of models.</content>
public sealed partial class CudaBackend
{
    // What the driver, the attention workspace and compiled kernels may still take once a model runs.
    private const long ReservedBytes = 1L << 30;

    private ModelOperators Operators
    {
        get
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            return _operators;
        }
    }

    /// <inheritdoc/>
    public BackendMemory Memory
    {
        get
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            long free = Math.Max(0, _device.FreeBytes - Math.Min(ReservedBytes, _device.FreeBytes / 4));
            return new BackendMemory(free, free, free);
        }
    }

    /// <inheritdoc/>
    public ElementType ComputeTypeFor(ElementType weightType) => weightType;

    /// <inheritdoc/>
    public int PreferredBatchRows => 2048;

    /// <inheritdoc/>
    /// <exception cref="PlatformNotSupportedException">cuBLASLt is missing; the message says where it was looked for.</exception>
    /// <exception cref="InsufficientMemoryException">The GPU has not so much free memory.</exception>
    public PackedMatrix PackMatrix(MatrixSource source, WeightType weightType = WeightType.Model)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        ArgumentNullException.ThrowIfNull(source);
        if (source.OutputSize < 1 || source.InputSize < 1)
            throw new ArgumentException($"A matrix of [{source.OutputSize}, {source.InputSize}] has no elements.", nameof(source));
        if (!source.Bias.IsEmpty && source.Bias.Length != source.OutputSize)
            throw new ArgumentException($"The bias has {source.Bias.Length} elements for {source.OutputSize} rows.", nameof(source));
        if (weightType != WeightType.Model)
            throw new ArgumentException($"The CUDA backend keeps weights as the model stores them, not as {weightType.Name()}.", nameof(weightType));
        return Operators.Pack(source);
    }

    /// <inheritdoc/>
    public void EmbeddingLookup(PackedMatrix table, ReadOnlySpan<int> tokenIds, float scale, DeviceBuffer output)
    {
        CudaMatrix matrix = Check.Matrix(table, nameof(table));
        CudaBuffer result = Check.Float32(output, (long)tokenIds.Length * matrix.InputSize, nameof(output));
        foreach (int id in tokenIds)
        {
            if (id >= matrix.OutputSize)
                throw new ArgumentOutOfRangeException(nameof(tokenIds), id, $"The table has {matrix.OutputSize} rows.");
            if (id < 0 && ~id >= Operators.Tokens.Capacity)
                throw new ArgumentOutOfRangeException(nameof(tokenIds), id, $"Token {~id} was not chosen.");
        }
        if (!_isInStep) Steps.Break();
        Operators.EmbeddingLookup(matrix, tokenIds, scale, result);
    }

    /// <inheritdoc/>
    public void RmsNorm(DeviceBuffer input, int numRows, DeviceBuffer weight, float epsilon, DeviceBuffer output)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(numRows);
        CudaBuffer weights = Check.Float32(weight, 1, nameof(weight));
        CudaBuffer source = Check.Buffer(input, numRows * weights.Length, nameof(input));
        Operators.Norm(source, null, 1, numRows, weights, epsilon, Check.Buffer(output, numRows * weights.Length, nameof(output)));
    }

    /// <inheritdoc/>
    public void AddRmsNorm(
        DeviceBuffer residual, DeviceBuffer delta, float deltaScale, int numRows, DeviceBuffer weight, float epsilon, DeviceBuffer output)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(numRows);
        CudaBuffer weights = Check.Float32(weight, 1, nameof(weight));
        CudaBuffer source = Check.Buffer(delta, numRows * weights.Length, nameof(delta));
        CudaBuffer stream = Check.Float32(residual, numRows * weights.Length, nameof(residual));
        Operators.Norm(source, stream, deltaScale, numRows, weights, epsilon, Check.Buffer(output, numRows * weights.Length, nameof(output)));
    }

    /// <inheritdoc/>
    public void Linear(DeviceBuffer input, int numRows, PackedMatrix matrix, DeviceBuffer output)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(numRows);
        CudaMatrix weights = Check.Matrix(matrix, nameof(matrix));
        CudaBuffer source = Check.Buffer(input, (long)numRows * weights.InputSize, nameof(input));
        CudaBuffer result = Check.Buffer(output, (long)numRows * weights.OutputSize, nameof(output));
        Check.NotSame(output, input, nameof(output));
        Operators.Linear.Multiply(source, [], numRows, weights, 1, null, result);
    }

    /// <inheritdoc/>
    public void RotaryAppend(
        DeviceBuffer queryKeyValue, AttentionShape shape, QueryKeyNorm? norm, RotaryEmbedding? rotary,
        ReadOnlySpan<int> positions, ReadOnlySpan<int> slots, KvCache cache, int layer, DeviceBuffer query)
    {
        ArgumentNullException.ThrowIfNull(shape);
        int numRows = positions.Length;
        if (slots.Length != numRows)
            throw new ArgumentException($"There are {numRows} positions and {slots.Length} slots; give one of each a row.", nameof(slots));
        CudaBuffer source = Check.Buffer(
            queryKeyValue, (long)numRows * (shape.NumHeads + 2 * shape.NumKvHeads) * shape.HeadDim, nameof(queryKeyValue));
        CudaBuffer result = Check.Buffer(query, (long)numRows * shape.NumHeads * shape.HeadDim, nameof(query));
        Check.NotSame(query, queryKeyValue, nameof(query));
        CudaKvCache pages = Check.Cache(cache, layer, shape);
        pages.CheckSlots(slots, allowsNone: true);
        foreach (int position in positions)
        {
            if (position < 0) throw new ArgumentOutOfRangeException(nameof(positions), position, "Positions cannot be negative.");
        }
        if (norm is not null)
        {
            Check.Float32(norm.QueryWeight, shape.HeadDim, nameof(norm));
            Check.Float32(norm.KeyWeight, shape.HeadDim, nameof(norm));
        }
        if (rotary is not null && (rotary.RotaryDim < 2 || rotary.RotaryDim % 2 != 0 || rotary.RotaryDim > shape.HeadDim))
        {
            throw new ArgumentException(
                $"The rotary dimension is {rotary.RotaryDim}; it must be even and at most the head dimension {shape.HeadDim}.", nameof(rotary));
        }
        Operators.RotaryAppend(source, shape, norm, rotary, positions, slots, pages, layer, result);
    }

    /// <inheritdoc/>
    public void GatedActivation(DeviceBuffer gateUp, int numRows, int intermediateSize, ActivationKind activation, DeviceBuffer output)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(numRows);
        ArgumentOutOfRangeException.ThrowIfLessThan(intermediateSize, 1);
        if (activation is not (ActivationKind.Silu or ActivationKind.Gelu or ActivationKind.GeluTanh))
            throw new ArgumentOutOfRangeException(nameof(activation), activation, "Unknown activation.");
        CudaBuffer source = Check.Buffer(gateUp, 2L * numRows * intermediateSize, nameof(gateUp));
        CudaBuffer result = Check.Buffer(output, (long)numRows * intermediateSize, nameof(output));
        Check.NotSame(output, gateUp, nameof(output));
        Operators.GatedActivation(source, numRows, intermediateSize, activation, result);
    }

    /// <inheritdoc/>
    public void Logits(DeviceBuffer hidden, ReadOnlySpan<int> rows, PackedMatrix head, float scale, float? softCap, DeviceBuffer logits)
    {
        CudaMatrix weights = Check.Matrix(head, nameof(head));
        CudaBuffer source = Check.Buffer(hidden, 0, nameof(hidden));
        CudaBuffer result = Check.Float32(logits, (long)rows.Length * weights.OutputSize, nameof(logits));
        Check.NotSame(logits, hidden, nameof(logits));
        if (softCap is not null && !(float.IsFinite(softCap.Value) && softCap > 0))
            throw new ArgumentOutOfRangeException(nameof(softCap), softCap, "A logit soft-cap must be positive and finite.");
        foreach (int row in rows)
        {
            if (row < 0 || row >= source.Length / weights.InputSize)
                throw new ArgumentOutOfRangeException(nameof(rows), row, $"The hidden buffer has {source.Length / weights.InputSize} rows.");
        }
        Operators.Linear.Multiply(source, rows, rows.Length, weights, scale, softCap, result);
    }
}
