namespace Hydragen.Core;

/// <summary>
/// The coarse operators that the one forward pass needs, on buffers that only the backend looks into. Row-major, outermost
/// dimension first. Activations may be FP32 or 16 bit (the buffer says which); arithmetic accumulates in FP32, and the residual
/// stream, norm weights and logits are always FP32. Not thread-safe: one caller at a time; a backend uses threads inside.
/// </summary>
/// <remarks>Every operator throws <see cref="ArgumentException"/> when a buffer is too small or has an unsupported type.</remarks>
public interface IComputeBackend : IAttentionBackend
{
    /// <summary>How much memory there is now.</summary>
    BackendMemory Memory { get; }

    /// <summary>The type of activations and cached keys and values that suits weights best, when nobody asks for another.</summary>
    /// <param name="weightType">Type of the stored weights.</param>
    ElementType ComputeTypeFor(ElementType weightType);

    /// <summary>Rows of one forward pass that the device needs to be busy; long prompts are cut into pieces of so many when nobody asks for others.</summary>
    int PreferredBatchRows { get; }

    /// <summary>Reads, rearranges and keeps a weight matrix.</summary>
    /// <param name="source">The rows.</param>
    /// <param name="weightType">How to keep them.</param>
    /// <exception cref="ArgumentException">The matrix is empty, its bias does not fit, or its rows are too long for the type.</exception>
    PackedMatrix PackMatrix(MatrixSource source, WeightType weightType = WeightType.Model);

    /// <summary>output[r] = table[tokenIds[r]] · scale.</summary>
    /// <param name="table"><c>[vocabularySize, hiddenSize]</c>, packed as <see cref="WeightType.Model"/>.</param>
    /// <param name="tokenIds"><c>[numRows]</c>; −1 − i stands for token i of those that <see cref="ChooseTokens"/> put there last.</param>
    /// <param name="scale">Factor.</param>
    /// <param name="output">FP32 <c>[numRows, hiddenSize]</c>.</param>
    /// <exception cref="ArgumentOutOfRangeException">An id is outside the table.</exception>
    void EmbeddingLookup(PackedMatrix table, ReadOnlySpan<int> tokenIds, float scale, DeviceBuffer output);

    /// <summary>output = input / sqrt(mean(input²) + epsilon) · weight, for each row. In place allowed.</summary>
    /// <param name="input"><c>[numRows, hiddenSize]</c>.</param>
    /// <param name="numRows">Rows.</param>
    /// <param name="weight">FP32 <c>[hiddenSize]</c>; its length gives hiddenSize.</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <param name="output"><c>[numRows, hiddenSize]</c>.</param>
    void RmsNorm(DeviceBuffer input, int numRows, DeviceBuffer weight, float epsilon, DeviceBuffer output);

    /// <summary>residual += delta · deltaScale, then output = RMS norm of the residual, for each row.</summary>
    /// <param name="residual">FP32 <c>[numRows, hiddenSize]</c>, updated.</param>
    /// <param name="delta"><c>[numRows, hiddenSize]</c>.</param>
    /// <param name="deltaScale">Factor on <paramref name="delta"/>.</param>
    /// <param name="numRows">Rows.</param>
    /// <param name="weight">FP32 <c>[hiddenSize]</c>.</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <param name="output"><c>[numRows, hiddenSize]</c>; may be <paramref name="delta"/>.</param>
    void AddRmsNorm(DeviceBuffer residual, DeviceBuffer delta, float deltaScale, int numRows, DeviceBuffer weight, float epsilon, DeviceBuffer output);

    /// <summary>
    /// output = input · matrixᵀ + bias. With weights of <see cref="WeightType.Int8"/>, a row of the input that holds a NaN or an
    /// infinity yields NaN in its whole row.
    /// </summary>
    /// <param name="input"><c>[numRows, inputSize]</c>.</param>
    /// <param name="numRows">Rows.</param>
    /// <param name="matrix"><c>[outputSize, inputSize]</c>.</param>
    /// <param name="output"><c>[numRows, outputSize]</c>; must not be <paramref name="input"/>.</param>
    void Linear(DeviceBuffer input, int numRows, PackedMatrix matrix, DeviceBuffer output);

    /// <summary>
    /// Takes the joint projection of queries, keys and values, normalises and rotates queries and keys by their positions,
    /// stores keys and values in the cache and the queries in <paramref name="query"/>.
    /// </summary>
    /// <param name="queryKeyValue"><c>[numRows, (numHeads + 2 · numKvHeads) · headDim]</c>: queries, then keys, then values.</param>
    /// <param name="shape">Heads.</param>
    /// <param name="norm">Norms of query and key heads, or null.</param>
    /// <param name="rotary">Angles, or null for no rotation.</param>
    /// <param name="positions">Absolute position of each row, <c>[numRows]</c>.</param>
    /// <param name="slots">Slot id of each row, <c>[numRows]</c>; −1 for rows that <see cref="RoundRows"/> added, which are not computed.</param>
    /// <param name="cache">Receives keys and values.</param>
    /// <param name="layer">Layer of the cache.</param>
    /// <param name="query">Receives <c>[numRows, numHeads, headDim]</c>.</param>
    void RotaryAppend(
        DeviceBuffer queryKeyValue, AttentionShape shape, QueryKeyNorm? norm, RotaryEmbedding? rotary,
        ReadOnlySpan<int> positions, ReadOnlySpan<int> slots, KvCache cache, int layer, DeviceBuffer query);

    /// <summary>output[r, i] = activation(gateUp[r, i]) · gateUp[r, intermediateSize + i].</summary>
    /// <param name="gateUp"><c>[numRows, 2 · intermediateSize]</c>.</param>
    /// <param name="numRows">Rows.</param>
    /// <param name="intermediateSize">Elements of gate and of up.</param>
    /// <param name="activation">Which function.</param>
    /// <param name="output"><c>[numRows, intermediateSize]</c>; must not be <paramref name="gateUp"/>.</param>
    void GatedActivation(DeviceBuffer gateUp, int numRows, int intermediateSize, ActivationKind activation, DeviceBuffer output);

    /// <summary>logits[i] = cap(hidden[rows[i]] · headᵀ · scale), FP32.</summary>
    /// <param name="hidden"><c>[numRows, hiddenSize]</c>, after the final norm.</param>
    /// <param name="rows">Which rows, <c>[numLogitRows]</c>.</param>
    /// <param name="head"><c>[vocabularySize, hiddenSize]</c>.</param>
    /// <param name="scale">Factor on the logits.</param>
    /// <param name="softCap">cap(x) = softCap · tanh(x / softCap); null for none.</param>
    /// <param name="logits">Receives FP32 <c>[numLogitRows, vocabularySize]</c>.</param>
    void Logits(DeviceBuffer hidden, ReadOnlySpan<int> rows, PackedMatrix head, float scale, float? softCap, DeviceBuffer logits);

    /// <summary>
    /// Chooses a token from each row of logits, as <see cref="LogitSampler"/> does. The tokens stay with the backend, for
    /// <see cref="EmbeddingLookup"/> and <see cref="ReadTokens"/>, until the next ones take their places.
    /// </summary>
    /// <param name="logits">FP32 <c>[numRows, rowSize]</c>; undefined afterwards.</param>
    /// <param name="rowSize">Logits of a row, at least 1.</param>
    /// <param name="choices">How each row's is chosen, <c>[numRows]</c>.</param>
    /// <param name="first">Where the first row's token goes; the others follow.</param>
    /// <param name="withLogProbabilities">Whether log-probabilities go there too: of the model, without temperature and cuts.</param>
    void ChooseTokens(DeviceBuffer logits, int rowSize, ReadOnlySpan<TokenChoice> choices, int first, bool withLogProbabilities);

    /// <summary>Starts to read the first of the tokens that were chosen, as they are behind all operators up to now.</summary>
    /// <param name="numTokens">How many.</param>
    PendingTokens ReadTokens(int numTokens);

    /// <summary>
    /// Whether operators return before they are done, so that a step should be put behind the one whose tokens nobody knows yet.
    /// </summary>
    bool RunsAhead => false;

    /// <summary>
    /// How many rows a step of decoding should have instead of so many; those added have the slot −1 and no segments. Few numbers, where each
    /// costs a backend something when it first occurs.
    /// </summary>
    int RoundRows(int numRows) => numRows;

    /// <summary>Runs the operators of a step of decoding, or repeats what they did in an equal one before, with this step's numbers.</summary>
    /// <param name="decodeStep">What the operators are given.</param>
    /// <param name="compute">Calls the operators; for steps of one object and one number of rows always the same.</param>
    void Decode(DecodeStep decodeStep, Action compute)
    {
        ArgumentNullException.ThrowIfNull(compute);
        compute();
    }

    /// <summary>Forgets what was kept to repeat the steps of an object; they come no more.</summary>
    void Forget(DecodeStep decodeStep)
    {
    }
}
