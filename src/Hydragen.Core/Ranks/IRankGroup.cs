namespace Hydragen.Core;

/// <summary>
/// The processes that compute one model together, seen from one of them: its rank. All ranks make the same calls in the same order; a call
/// that combines or spreads numbers ends everywhere with the same bits. When a rank fails, is lost or leaves while others still work, every
/// call of every other rank throws, also one that waits already.
/// </summary>
/// <remarks>
/// Calls that take a <see cref="DeviceBuffer"/> are ordered with the operators of the backend that owns it; the host need not wait for them.
/// One caller at a time, except for <see cref="Fail"/> and <see cref="IDisposable.Dispose"/>, which any thread may call.
/// </remarks>
public interface IRankGroup : IDisposable
{
    /// <summary>This process, 0 to <see cref="Size"/> − 1. Rank 0 takes the decisions.</summary>
    int Rank { get; }

    /// <summary>Processes, 2 or more.</summary>
    int Size { get; }

    /// <summary>One line: how the ranks exchange numbers.</summary>
    string Description { get; }

    /// <summary>Cancelled when the group can no longer be used, on whatever thread found that out.</summary>
    CancellationToken Failed { get; }

    /// <summary>Why the group can no longer be used, in one line; null while it can.</summary>
    string? Failure { get; }

    /// <summary>Replaces the first elements of a buffer by the sum over all ranks, rounded to the buffer's type.</summary>
    /// <param name="buffer">The addends of this rank, then the sum; of the same type on all ranks.</param>
    /// <param name="length">Elements, the same on all ranks.</param>
    /// <exception cref="ArgumentOutOfRangeException">The buffer has fewer elements.</exception>
    /// <exception cref="RankGroupException">Another rank failed or is lost.</exception>
    void AllReduce(DeviceBuffer buffer, long length);

    /// <summary>
    /// Adds the sum over all ranks of what each has to the residual stream and normalises that: as <see cref="AllReduce"/> and then
    /// <see cref="IComputeBackend.AddRmsNorm"/>, but a group may do both at once, and what <paramref name="delta"/> holds afterwards is open.
    /// </summary>
    /// <param name="backend">The backend that owns the buffers.</param>
    /// <param name="residual">FP32 <c>[numRows, hiddenSize]</c>, updated; the same on all ranks.</param>
    /// <param name="delta"><c>[numRows, hiddenSize]</c>, the addends of this rank; of the same type on all ranks.</param>
    /// <param name="deltaScale">Factor on the sum.</param>
    /// <param name="numRows">Rows, the same on all ranks.</param>
    /// <param name="weight">FP32 <c>[hiddenSize]</c>.</param>
    /// <param name="epsilon">Added to the mean square.</param>
    /// <param name="output"><c>[numRows, hiddenSize]</c>.</param>
    /// <exception cref="ArgumentException">A buffer is too small or of another type.</exception>
    /// <exception cref="RankGroupException">Another rank failed or is lost.</exception>
    void AddRmsNorm(
        IComputeBackend backend, DeviceBuffer residual, DeviceBuffer delta, float deltaScale, int numRows, DeviceBuffer weight, float epsilon,
        DeviceBuffer output)
    {
        ArgumentNullException.ThrowIfNull(backend);
        ArgumentNullException.ThrowIfNull(weight);
        AllReduce(delta, numRows * weight.Length);
        backend.AddRmsNorm(residual, delta, deltaScale, numRows, weight, epsilon, output);
    }

    /// <summary>Replaces the first elements of a buffer by those of rank 0.</summary>
    /// <param name="buffer">Of the same type on all ranks.</param>
    /// <param name="length">Elements, the same on all ranks.</param>
    /// <exception cref="ArgumentOutOfRangeException">The buffer has fewer elements.</exception>
    /// <exception cref="RankGroupException">Another rank failed or is lost.</exception>
    void Broadcast(DeviceBuffer buffer, long length);

    /// <summary>
    /// Chooses tokens from the logits of rank 0, as <see cref="IComputeBackend.ChooseTokens"/> does; all ranks have the same tokens then. What
    /// the logits of other ranks hold afterwards is open.
    /// </summary>
    /// <param name="backend">The backend that owns the buffer, and receives the tokens.</param>
    /// <param name="logits">FP32 <c>[choices.Length, rowSize]</c>; only those of rank 0 count.</param>
    /// <param name="rowSize">Logits of a row.</param>
    /// <param name="choices">How each row's token is chosen, the same on all ranks.</param>
    /// <param name="first">Index of the first token among those of the step.</param>
    /// <param name="withLogProbabilities">Whether log-probabilities of the tokens are wanted.</param>
    /// <exception cref="ArgumentException">The buffer is too small or of another type.</exception>
    /// <exception cref="RankGroupException">Another rank failed or is lost.</exception>
    void ChooseTokens(
        IComputeBackend backend, DeviceBuffer logits, int rowSize, ReadOnlySpan<TokenChoice> choices, int first, bool withLogProbabilities)
    {
        ArgumentNullException.ThrowIfNull(backend);
        Broadcast(logits, (long)choices.Length * rowSize);
        backend.ChooseTokens(logits, rowSize, choices, first, withLogProbabilities);
    }

    /// <summary>Replaces numbers on the host by those of rank 0.</summary>
    /// <param name="values">As many on all ranks.</param>
    /// <exception cref="RankGroupException">Another rank failed or is lost.</exception>
    void Broadcast(Span<int> values);

    /// <summary>The smallest of the numbers that the ranks give.</summary>
    /// <exception cref="RankGroupException">Another rank failed or is lost.</exception>
    long Min(long value);

    /// <summary>Sends a message from rank 0 to all others; no other rank may call it.</summary>
    /// <exception cref="RankGroupException">Another rank failed or is lost.</exception>
    void Send(ReadOnlySpan<byte> message);

    /// <summary>Waits for the next message of rank 0, for as long as it takes; rank 0 itself may not call it.</summary>
    /// <exception cref="RankGroupException">Rank 0 left, or a rank failed or is lost.</exception>
    byte[] Receive();

    /// <summary>Tells the others that this rank cannot go on; their calls throw with this message. Only the first call counts.</summary>
    /// <param name="message">Why, in one line.</param>
    void Fail(string message);
}
