using Hydragen.Core;

namespace Hydragen.Models;

/// <summary>The weights of one layer, found and checked, not yet read.</summary>
internal sealed record LayerSources(
    WeightTensor InputNorm, TensorMatrixSource QueryKeyValue, WeightTensor? QueryNorm, WeightTensor? KeyNorm,
    TensorMatrixSource Output, WeightTensor? PostAttentionNorm, WeightTensor FeedForwardNorm, TensorMatrixSource GateUp,
    TensorMatrixSource Down, WeightTensor? PostFeedForwardNorm)
{
    /// <summary>Those of the matrix products.</summary>
    public IEnumerable<TensorMatrixSource> Matrices => [QueryKeyValue, Output, GateUp, Down];
}

/// <summary>
/// Finds every weight that a configuration needs and checks its type and each of its axes before anything is allocated.
/// Tensors that nobody needs are refused, except the rotary frequencies that old versions stored, and a copy of the embedding
/// table as the output layer of a tied model, which must equal the table byte for byte.
/// </summary>
internal sealed class WeightCatalog
{
    private const int ChunkBytes = 1 << 20;
    private const string HeadName = "lm_head.weight";
    private readonly ModelConfiguration _config;
    private readonly ModelShare _share;
    private readonly WeightStore _store;
    private readonly LoadProgress _progress;
    private readonly HashSet<string> _used = new(StringComparer.Ordinal);

    public WeightCatalog(ModelConfiguration config, ModelShare share, WeightStore store, LoadProgress progress)
    {
        _config = config;
        _share = share;
        _store = store;
        _progress = progress;
        Embedding = Whole("model.embed_tokens");
        for (int layer = 0; layer < config.NumLayers; layer++) Layers.Add(FindLayer($"model.layers.{layer}."));
        FinalNorm = Vector("model.norm.weight", config.HiddenSize);
        if (!config.TieWordEmbeddings) Head = Whole("lm_head");
        NeedsHead = share.IsFirst;
        if (Head is not null && !NeedsHead) TotalBytes -= Head.StoredBytes;
        RefuseOthers();
    }

    public TensorMatrixSource Embedding { get; }

    public List<LayerSources> Layers { get; } = [];

    public WeightTensor FinalNorm { get; }

    /// <summary>The output layer; null when it is the embedding table.</summary>
    public TensorMatrixSource? Head { get; }

    /// <summary>Whether this share computes logits.</summary>
    public bool NeedsHead { get; }

    /// <summary>Bytes of all that is needed of the tensors.</summary>
    public long TotalBytes { get; private set; }

    /// <summary>Bytes that are read when the matrix products keep their weights in a type.</summary>
    public long BytesToRead(WeightType weightType) =>
        TotalBytes + (weightType == WeightType.Int8 && Head is null && NeedsHead ? Embedding.StoredBytes : 0);

    /// <summary>Bytes that the weights then take, without the padding and the scales of a backend.</summary>
    public long BytesToKeep(WeightType weightType)
    {
        if (weightType == WeightType.Model) return TotalBytes;
        IEnumerable<TensorMatrixSource> matrices = Layers.SelectMany(layer => layer.Matrices);
        if (NeedsHead) matrices = matrices.Append(Head ?? Embedding);
        long bytes = BytesToRead(weightType);
        foreach (TensorMatrixSource matrix in matrices)
            bytes += (long)matrix.OutputSize * matrix.InputSize - matrix.StoredBytes;
        return bytes;
    }

    private LayerSources FindLayer(string layer)
    {
        int hidden = _config.HiddenSize, inner = _config.IntermediateSize, headDim = _config.Heads.HeadDim;
        int querySize = _config.Heads.NumHeads * headDim, kvSize = _config.Heads.NumKvHeads * headDim;
        ShareRange query = _share.Query, keyValue = _share.KeyValue, own = _share.Inner;
        string attention = layer + "self_attn.", mlp = layer + "mlp.";
        bool qkvBias = _config.HasQueryKeyValueBias, mlpBias = _config.HasMlpBias, isFused = _config.HasFusedProjections;
        bool isSandwich = _config.HasSandwichNorms;

        WeightTensor inputNorm = Vector(layer + "input_layernorm.weight", hidden);
        TensorMatrixSource queryKeyValue = isFused
            ? Rows(hidden, qkvBias, (attention + "qkv_proj", querySize + 2 * kvSize, [query, keyValue.Behind(querySize), keyValue.Behind(querySize + kvSize)]))
            : Rows(hidden, qkvBias, (attention + "q_proj", querySize, [query]), (attention + "k_proj", kvSize, [keyValue]), (attention + "v_proj", kvSize, [keyValue]));
        WeightTensor? queryNorm = _config.HasQueryKeyNorm ? Vector(attention + "q_norm.weight", headDim) : null;
        WeightTensor? keyNorm = _config.HasQueryKeyNorm ? Vector(attention + "k_norm.weight", headDim) : null;
        TensorMatrixSource output = Columns(hidden, querySize, query, _config.HasOutputBias, attention + "o_proj");
        WeightTensor afterAttention = Vector(layer + "post_attention_layernorm.weight", hidden);
        WeightTensor feedForwardNorm = isSandwich ? Vector(layer + "pre_feedforward_layernorm.weight", hidden) : afterAttention;
        TensorMatrixSource gateUp = isFused
            ? Rows(hidden, mlpBias, (mlp + "gate_up_proj", 2 * inner, [own, own.Behind(inner)]))
            : Rows(hidden, mlpBias, (mlp + "gate_proj", inner, [own]), (mlp + "up_proj", inner, [own]));
        TensorMatrixSource down = Columns(hidden, inner, own, mlpBias, mlp + "down_proj");
        WeightTensor? postFeedForwardNorm = isSandwich ? Vector(layer + "post_feedforward_layernorm.weight", hidden) : null;
        return new LayerSources(
            inputNorm, queryKeyValue, queryNorm, keyNorm, output, isSandwich ? afterAttention : null, feedForwardNorm, gateUp, down,
            postFeedForwardNorm);
    }

    /// <summary>A matrix that every share has.</summary>
    private TensorMatrixSource Whole(string name)
    {
        WeightTensor matrix = Find(name + ".weight", _config.VocabularySize, _config.HiddenSize);
        TotalBytes += matrix.Tensor.ByteLength;
        return new TensorMatrixSource([TensorPart.Whole(matrix)], [], _progress);
    }

    /// <summary>Ranges of the rows of some matrices, and of their biases.</summary>
    private TensorMatrixSource Rows(int inputSize, bool hasBias, params (string Name, int OutputSize, ShareRange[] Ranges)[] matrices)
    {
        var parts = new List<TensorPart>();
        var biases = new List<TensorPart>();
        foreach ((string name, int outputSize, ShareRange[] ranges) in matrices)
        {
            WeightTensor matrix = Find(name + ".weight", outputSize, inputSize);
            parts.AddRange(ranges.Select(range => new TensorPart(matrix, range.First, range.Count, 0, inputSize)));
            if (!hasBias) continue;
            WeightTensor bias = Find(name + ".bias", outputSize);
            biases.AddRange(ranges.Select(range => new TensorPart(bias, range.First, range.Count, 0, 1)));
        }
        return Add(parts, biases);
    }

    /// <summary>A range of the columns of a matrix; its bias is added by one share only.</summary>
    private TensorMatrixSource Columns(int outputSize, int inputSize, ShareRange columns, bool hasBias, string name)
    {
        WeightTensor matrix = Find(name + ".weight", outputSize, inputSize);
        WeightTensor? bias = hasBias ? Find(name + ".bias", outputSize) : null;
        return Add(
            [new TensorPart(matrix, 0, outputSize, columns.First, columns.Count)], bias is null || !_share.IsFirst ? [] : [TensorPart.Whole(bias)]);
    }

    private TensorMatrixSource Add(List<TensorPart> parts, List<TensorPart> biases)
    {
        TotalBytes += parts.Concat(biases).Sum(part => part.StoredBytes);
        return new TensorMatrixSource([.. parts], [.. biases], _progress);
    }

    private WeightTensor Vector(string name, int length)
    {
        WeightTensor vector = Find(name, length);
        TotalBytes += vector.Tensor.ByteLength;
        return vector;
    }

    private WeightTensor Find(string name, params ReadOnlySpan<long> shape)
    {
        if (!_store.Tensors.TryGetValue(name, out WeightTensor? found))
            throw new ModelFormatException(_store.Path, $"tensor '{name}' is missing; {_config.Architecture} needs it with shape [{string.Join(", ", shape.ToArray())}]");
        if (!shape.SequenceEqual(found.Tensor.Shape))
        {
            throw new ModelFormatException(found.File.Path,
                $"tensor '{name}' has shape {found.Tensor.ShapeText}, but config.json asks for [{string.Join(", ", shape.ToArray())}]");
        }
        if (!found.Tensor.Dtype.TryGetElementType(out _))
            throw new ModelFormatException(found.File.Path, $"tensor '{name}' has dtype {found.Tensor.Dtype.FormatName()}; weights must be F32, BF16 or F16");
        _used.Add(name);
        return found;
    }

    private void RefuseOthers()
    {
        foreach ((string name, WeightTensor tensor) in _store.Tensors)
        {
            if (_used.Contains(name) || name.EndsWith("rotary_emb.inv_freq", StringComparison.Ordinal)) continue;
            if (name == HeadName && _config.TieWordEmbeddings) CheckTiedHead(tensor);
            else throw new ModelFormatException(tensor.File.Path, $"tensor '{name}' is not part of {_config.Architecture} with this config.json");
        }
    }

    private void CheckTiedHead(WeightTensor head)
    {
        WeightTensor table = _store.Tensors["model.embed_tokens.weight"];
        bool isEqual = head.Tensor.Dtype == table.Tensor.Dtype && head.Tensor.Shape.AsSpan().SequenceEqual(table.Tensor.Shape);
        var headChunk = new byte[ChunkBytes];
        var tableChunk = new byte[ChunkBytes];
        for (long offset = 0; isEqual && offset < head.Tensor.ByteLength; offset += ChunkBytes)
        {
            int length = (int)Math.Min(ChunkBytes, head.Tensor.ByteLength - offset);
            head.File.Read(head.Tensor, offset, headChunk.AsSpan(0, length));
            table.File.Read(table.Tensor, offset, tableChunk.AsSpan(0, length));
            isEqual = headChunk.AsSpan(0, length).SequenceEqual(tableChunk.AsSpan(0, length));
        }
        if (!isEqual)
            throw new ModelFormatException(head.File.Path, $"tensor '{HeadName}' differs from the embedding table, but config.json ties them");
    }
}
