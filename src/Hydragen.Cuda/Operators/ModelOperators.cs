using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cuda;

/// <summary>The operators of a model on checked arguments: kernels and matrix products put into the device's stream.</summary>
internal sealed class ModelOperators(CudaDevice device, KernelLibrary library, KernelCache cache) : IDisposable
{
    private readonly OperatorKernels _kernels = new(library);
    private readonly SentArray<int> _tokenIds = new(device);
    private readonly RowInputs _rowInputs = new(device);
    private readonly ConditionalWeakTable<RotaryEmbedding, DeviceRotaryTable> _rotaryTables = [];
    private WeightLoader? _loader;
    private LinearOperator? _linear;
    private TokenOperator? _tokens;

    /// <summary>Chosen tokens.</summary>
    public TokenOperator Tokens => _tokens ??= new TokenOperator(device, _kernels);

    /// <summary>Linear layers.</summary>
    public LinearOperator Linear => _linear ??= new LinearOperator(device, _kernels, cache);

    /// <summary>Loads weights.</summary>
    public CudaMatrix Pack(MatrixSource source)
    {
        Linear.Open();
        return new CudaMatrix(device, _loader ??= new WeightLoader(device), source);
    }

    /// <summary>Where rows of the last step are stored: 1 in pages of sequences, or of the only type, and 2 in those of prefixes.</summary>
    public int Stores => (_rowInputs.Tokens != 0 ? 1 : 0) + (_rowInputs.PrefixTokens != 0 ? 2 : 0);

    /// <summary>Sends what the operators of a step will be given, so that they only launch kernels.</summary>
    public void Prepare(DecodeStep step, CudaKvCache cache)
    {
        device.MakeCurrent();
        _tokenIds.Send(step.TokenIds);
        _rowInputs.Prepare(step.Plan.RowPositions, step.Slots, cache, step.Rotary is null ? null : TableOf(step.Rotary));
        Tokens.Prepare(step.Choices);
    }

    public void EmbeddingLookup(CudaMatrix table, ReadOnlySpan<int> tokenIds, float scale, CudaBuffer output)
    {
        device.MakeCurrent();
        nint ids = _tokenIds.Send(tokenIds);
        _kernels.Embedding(table.Type, table.InputSize).Launch(tokenIds.Length, 1, new EmbeddingParameters
        {
            Table = table.Weights,
            TokenIds = ids,
            Chosen = Tokens.Chosen,
            Output = output.Address,
            HiddenSize = table.InputSize,
            Pitch = table.Pitch,
            Scale = scale,
        }, startsEarly: true);
    }

    /// <param name="input">The rows, or what is added to them.</param>
    /// <param name="residual">What <paramref name="input"/> is added to; null to normalise the input itself.</param>
    /// <param name="deltaScale">Factor on the input when it is added.</param>
    /// <param name="numRows">Rows.</param>
    /// <param name="weight">Of the norm.</param>
    /// <param name="epsilon">Of the norm.</param>
    /// <param name="output">Receives the normalised rows.</param>
    public void Norm(CudaBuffer input, CudaBuffer? residual, float deltaScale, int numRows, CudaBuffer weight, float epsilon, CudaBuffer output)
    {
        device.MakeCurrent();
        int hiddenSize = (int)weight.Length;
        _kernels.Norm(input.ElementType, output.ElementType, residual is not null, hiddenSize).Launch(numRows, 1, new RmsNormParameters
        {
            Input = input.Address,
            Residual = residual?.Address ?? 0,
            Weight = weight.Address,
            Output = output.Address,
            HiddenSize = hiddenSize,
            Epsilon = epsilon,
            DeltaScale = deltaScale,
        }, startsEarly: true);
    }

    public void RotaryAppend(
        CudaBuffer queryKeyValue, AttentionShape shape, QueryKeyNorm? norm, RotaryEmbedding? rotary,
        ReadOnlySpan<int> positions, ReadOnlySpan<int> slots, CudaKvCache cache, int layer, CudaBuffer query)
    {
        if (positions.IsEmpty) return;
        device.MakeCurrent();
        cache.BeginAppend();
        _rowInputs.Prepare(positions, slots, cache, rotary is null ? null : TableOf(rotary));
        // The kernel leaves rows without a token alone, so each type has a launch that stores the rows of its pages.
        if (_rowInputs.Tokens != 0) RotaryAppend(queryKeyValue, shape, norm, rotary, positions.Length, cache, layer, PageKind.Suffix, _rowInputs.Tokens, query);
        if (_rowInputs.PrefixTokens != 0) RotaryAppend(queryKeyValue, shape, norm, rotary, positions.Length, cache, layer, PageKind.Prefix, _rowInputs.PrefixTokens, query);
    }

    public void GatedActivation(CudaBuffer gateUp, int numRows, int intermediateSize, ActivationKind activation, CudaBuffer output)
    {
        device.MakeCurrent();
        int blocksPerRow = OperatorVariants.ActivationBlocks(intermediateSize);
        _kernels.Activation(gateUp.ElementType, output.ElementType, activation, intermediateSize).Launch(
            (long)numRows * blocksPerRow, 1, new ActivationParameters
            {
                GateUp = gateUp.Address,
                Output = output.Address,
                IntermediateSize = intermediateSize,
                BlocksPerRow = blocksPerRow,
            }, startsEarly: true);
    }

    public void Dispose()
    {
        _linear?.Dispose();
        _loader?.Dispose();
        _tokenIds.Dispose();
        _tokens?.Dispose();
        _rowInputs.Dispose();
        foreach (KeyValuePair<RotaryEmbedding, DeviceRotaryTable> entry in _rotaryTables) entry.Value.Dispose();
        _rotaryTables.Clear();
    }

    private void RotaryAppend(
        CudaBuffer queryKeyValue, AttentionShape shape, QueryKeyNorm? norm, RotaryEmbedding? rotary, int numRows, CudaKvCache cache, int layer,
        PageKind kind, nint tokens, CudaBuffer query)
    {
        long numHeads = (long)numRows * (shape.NumHeads + 2 * shape.NumKvHeads);
        int headsPerBlock = OperatorVariants.HeadsPerRotaryBlock(shape.HeadDim);
        CudaKernel kernel = _kernels.RotaryAppend(
            shape.HeadDim, cache.Shape.TypeOf(kind), queryKeyValue.ElementType, query.ElementType, norm is not null, rotary is not null);
        kernel.Launch((numHeads + headsPerBlock - 1) / headsPerBlock, 1, new RotaryAppendParameters
        {
            QueryKeyValue = queryKeyValue.Address,
            Tokens = tokens,
            Factors = _rowInputs.Factors,
            QueryWeight = (norm?.QueryWeight as CudaBuffer)?.Address ?? 0,
            KeyWeight = (norm?.KeyWeight as CudaBuffer)?.Address ?? 0,
            Query = query.Address,
            LayerOffset = cache.LayerOffset(layer, kind),
            NumRows = numRows,
            NumHeads = shape.NumHeads,
            NumKvHeads = shape.NumKvHeads,
            RotaryDim = rotary?.RotaryDim ?? 0,
            Epsilon = norm?.Epsilon ?? 0,
            Scales = cache.ScalesAddress(layer, kind),
        }, startsEarly: true);
    }

    private DeviceRotaryTable TableOf(RotaryEmbedding rotary)
    {
        if (!_rotaryTables.TryGetValue(rotary, out DeviceRotaryTable? table))
        {
            table = new DeviceRotaryTable(device, rotary);
            _rotaryTables.Add(rotary, table);
        }
        return table;
    }
}
