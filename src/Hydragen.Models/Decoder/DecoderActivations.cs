using Hydragen.Core;

namespace Hydragen.Models;

/// <summary>The buffers of a forward pass, with room for the largest one.</summary>
internal sealed class DecoderActivations : IDisposable
{
    private const long MaxLogitBytes = 64 << 20;
    private readonly List<IDisposable> _owned = [];

    public DecoderActivations(ModelConfiguration config, ModelShare share, IComputeBackend backend, ElementType type, int maxRows)
    {
        AttentionShape heads = share.Heads;
        long rows = maxRows;
        MaxLogitRows = LogitRowsFor(config, maxRows);
        try
        {
            Residual = Allocate(ElementType.Float32, rows * config.HiddenSize);
            Normed = Allocate(type, rows * config.HiddenSize);
            Delta = Allocate(type, rows * config.HiddenSize);
            QueryKeyValue = Allocate(type, rows * (heads.NumHeads + 2 * heads.NumKvHeads) * heads.HeadDim);
            Query = Allocate(type, rows * heads.NumHeads * heads.HeadDim);
            GateUp = Allocate(type, rows * 2 * share.IntermediateSize);
            Gated = Allocate(type, rows * share.IntermediateSize);
            Logits = Allocate(ElementType.Float32, (long)MaxLogitRows * config.VocabularySize);
        }
        catch
        {
            Dispose();
            throw;
        }

        DeviceBuffer Allocate(ElementType elementType, long length)
        {
            DeviceBuffer buffer = backend.Allocate(elementType, length);
            _owned.Add(buffer);
            return buffer;
        }
    }

    /// <summary>FP32 [maxRows, hiddenSize]: the residual stream.</summary>
    public DeviceBuffer Residual { get; }

    /// <summary>[maxRows, hiddenSize]: what the next projection reads.</summary>
    public DeviceBuffer Normed { get; }

    /// <summary>[maxRows, hiddenSize]: what is added to the residual stream next.</summary>
    public DeviceBuffer Delta { get; }

    /// <summary>[maxRows, (numHeads + 2 · numKvHeads) · headDim], of the share's heads.</summary>
    public DeviceBuffer QueryKeyValue { get; }

    /// <summary>[maxRows, numHeads, headDim]: queries, then what attention yields.</summary>
    public DeviceBuffer Query { get; }

    /// <summary>[maxRows, 2 · intermediateSize].</summary>
    public DeviceBuffer GateUp { get; }

    /// <summary>[maxRows, intermediateSize].</summary>
    public DeviceBuffer Gated { get; }

    /// <summary>FP32 [maxLogitRows, vocabularySize].</summary>
    public DeviceBuffer Logits { get; }

    /// <summary>Rows of <see cref="Logits"/>; more logits are computed in several pieces.</summary>
    public int MaxLogitRows { get; }

    /// <summary>Bytes of the buffers for so many rows.</summary>
    public static long BytesFor(ModelConfiguration config, ModelShare share, ElementType type, int maxRows)
    {
        AttentionShape heads = share.Heads;
        long elements = 2L * config.HiddenSize + 2L * (heads.NumHeads + heads.NumKvHeads) * heads.HeadDim + 3L * share.IntermediateSize;
        return maxRows * (elements * type.SizeInBytes() + (long)config.HiddenSize * sizeof(float))
            + (long)LogitRowsFor(config, maxRows) * config.VocabularySize * sizeof(float);
    }

    public void Dispose()
    {
        foreach (IDisposable item in _owned) item.Dispose();
        _owned.Clear();
    }

    private static int LogitRowsFor(ModelConfiguration config, int maxRows) =>
        (int)Math.Clamp(MaxLogitBytes / sizeof(float) / config.VocabularySize, 1, maxRows);
}
