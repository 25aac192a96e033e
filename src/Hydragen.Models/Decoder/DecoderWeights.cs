using Hydragen.Core;

namespace Hydragen.Models;

/// <summary>All weights of a decoder, in the backend's memory.</summary>
internal sealed class DecoderWeights : IDisposable
{
    private readonly IComputeBackend _backend;
    private readonly ModelConfiguration _config;
    private readonly WeightType _weightType;
    private readonly LoadProgress _progress;
    private readonly List<IDisposable> _owned = [];

    /// <summary>Reads the weights that the catalog found.</summary>
    public DecoderWeights(WeightCatalog catalog, ModelConfiguration config, IComputeBackend backend, WeightType weightType, LoadProgress progress)
    {
        _backend = backend;
        _config = config;
        _weightType = weightType;
        _progress = progress;
        try
        {
            Embedding = Pack(catalog.Embedding, WeightType.Model);
            Layers = new DecoderLayer[config.NumLayers];
            for (int layer = 0; layer < Layers.Length; layer++) Layers[layer] = LoadLayer(catalog.Layers[layer], config.SlidingWindows[layer]);
            FinalNorm = LoadNorm(catalog.FinalNorm);
            if (catalog.NeedsHead) Head = catalog.Head is null && weightType == WeightType.Model ? Embedding : Pack(catalog.Head ?? catalog.Embedding);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>[vocabularySize, hiddenSize].</summary>
    public PackedMatrix Embedding { get; }

    /// <summary>[numLayers].</summary>
    public DecoderLayer[] Layers { get; }

    /// <summary>[hiddenSize].</summary>
    public DeviceBuffer FinalNorm { get; }

    /// <summary>[vocabularySize, hiddenSize]; the embedding itself when tied and kept in the same type; null where logits are not computed.</summary>
    public PackedMatrix? Head { get; }

    /// <summary>Bytes that all weights occupy.</summary>
    public long SizeInBytes { get; private set; }

    public void Dispose()
    {
        foreach (IDisposable item in _owned) item.Dispose();
        _owned.Clear();
    }

    private DecoderLayer LoadLayer(LayerSources sources, int? slidingWindow) => new()
    {
        InputNorm = LoadNorm(sources.InputNorm),
        QueryKeyValue = Pack(sources.QueryKeyValue),
        QueryKeyNorm = sources.QueryNorm is null || sources.KeyNorm is null ? null
            : new QueryKeyNorm(LoadNorm(sources.QueryNorm), LoadNorm(sources.KeyNorm), _config.NormEpsilon),
        Attention = new AttentionOptions
        {
            Scale = _config.AttentionScale,
            SlidingWindow = slidingWindow,
            LogitSoftCap = _config.AttentionLogitSoftCap,
        },
        Output = Pack(sources.Output),
        PostAttentionNorm = sources.PostAttentionNorm is null ? null : LoadNorm(sources.PostAttentionNorm),
        FeedForwardNorm = LoadNorm(sources.FeedForwardNorm),
        GateUp = Pack(sources.GateUp),
        Down = Pack(sources.Down),
        PostFeedForwardNorm = sources.PostFeedForwardNorm is null ? null : LoadNorm(sources.PostFeedForwardNorm),
    };

    private PackedMatrix Pack(TensorMatrixSource source) => Pack(source, _weightType);

    private PackedMatrix Pack(TensorMatrixSource source, WeightType weightType)
    {
        PackedMatrix matrix = _backend.PackMatrix(source, weightType);
        _owned.Add(matrix);
        SizeInBytes += matrix.SizeInBytes;
        return matrix;
    }

    private DeviceBuffer LoadNorm(WeightTensor tensor)
    {
        float[] weight = TensorMatrixSource.ReadVector(TensorPart.Whole(tensor), _progress);
        if (_config.HasUnitOffsetNorms)
        {
            for (int i = 0; i < weight.Length; i++) weight[i] += 1;
        }
        DeviceBuffer buffer = _backend.Allocate(ElementType.Float32, weight.Length);
        _owned.Add(buffer);
        SizeInBytes += weight.Length * sizeof(float);
        buffer.Upload(weight);
        return buffer;
    }
}
