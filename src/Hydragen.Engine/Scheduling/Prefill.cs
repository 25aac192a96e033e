using Hydragen.Core;

namespace Hydragen.Engine;

/// <summary>Computes the pending tokens of nodes and sequences, as many rows at a time as the model takes.</summary>
/// <param name="context">Model, cache and pages.</param>
/// <param name="mode">How prefixes are read.</param>
/// <param name="allLogits">Whether every token gets logits, or only the last of a sequence and of nodes that ask for it.</param>
internal sealed class Prefill(EngineContext context, SharingMode mode, bool allLogits = false)
{
    private readonly List<TokenSpan> _spans = [];
    private readonly List<(TokenSpan Span, int FirstToken, int NumTokens)> _withLogits = [];

    /// <summary>Receives the logits behind consecutive tokens of a span, <c>[numTokens, vocabularySize]</c>.</summary>
    public delegate void LogitsHandler(TokenSpan span, int firstToken, ReadOnlySpan<float> logits);

    public long TokensDone { get; private set; }

    /// <summary>Reserves pages for a node and those above it that have none yet.</summary>
    public void Reserve(PrefixNode? node)
    {
        if (node is null || node.Pages.Length > 0) return;
        Reserve(node.Parent);
        context.Allocator.Reserve(node, node.TokenIds.Count);
    }

    /// <summary>Pages that <see cref="Reserve"/> would take.</summary>
    public static int PagesNeeded(PrefixNode? node)
    {
        int pages = 0;
        for (; node is not null && node.Pages.Length == 0; node = node.Parent) pages += PageAllocator.PagesFor(node.TokenIds.Count);
        return pages;
    }

    /// <summary>Adds a span, and before it the nodes above that are not computed yet. Spans come in depth-first order.</summary>
    public void Add(TokenSpan span)
    {
        if (span.Parent is { NumPending: > 0 }) Add(span.Parent);
        if (span.NumPending == 0 || span is PrefixNode { IsQueued: true }) return;
        if (span is PrefixNode node) node.IsQueued = true;
        _spans.Add(span);
    }

    /// <summary>Computes everything that was added and forgets it.</summary>
    /// <param name="onLogits">Receives logits in token order.</param>
    /// <param name="onStep">Called after every step.</param>
    /// <param name="cancellationToken">Ends the work between two steps.</param>
    public void Run(LogitsHandler onLogits, Action onStep, CancellationToken cancellationToken)
    {
        context.Calibrate(_spans);
        int next = 0;
        while (next < _spans.Count)
        {
            context.ThrowIfCancelled(cancellationToken);
            next = RunStep(next, onLogits);
            onStep();
        }
        _spans.Clear();
    }

    private int RunStep(int next, LogitsHandler onLogits)
    {
        StepBuilder step = context.Step;
        step.Clear();
        _withLogits.Clear();
        int first = next, room = allLogits ? context.MaxLogitRows : context.Model.MaxBatchRows, takenOfPartial = 0;
        while (next < _spans.Count && room > 0 && _withLogits.Count < context.MaxLogitRows)
        {
            TokenSpan span = _spans[next];
            int taken = Math.Min(room, span.NumPending);
            bool isComplete = taken == span.NumPending;
            LogitRows rows = allLogits ? LogitRows.All
                : isComplete && span is (Sequence or PrefixNode { NeedsLastLogits: true }) ? LogitRows.Last : LogitRows.None;
            if (rows == LogitRows.All) _withLogits.Add((span, span.NumComputed, taken));
            else if (rows == LogitRows.Last) _withLogits.Add((span, span.NumComputed + taken - 1, 1));
            step.Add(span, taken, rows);
            room -= taken;
            if (!isComplete)
            {
                takenOfPartial = taken;
                break;
            }
            next++;
        }
        ReadOnlySpan<float> logits = context.Forward(mode);
        TokensDone += step.NumRows;
        for (int i = first; i < next; i++) _spans[i].NumComputed = _spans[i].TokenIds.Count;
        if (takenOfPartial > 0) _spans[next].NumComputed += takenOfPartial;

        int vocabularySize = context.Limits.VocabularySize;
        foreach ((TokenSpan span, int firstToken, int numTokens) in _withLogits)
        {
            ReadOnlySpan<float> rows = logits[..(numTokens * vocabularySize)];
            logits = logits[rows.Length..];
            if (span is PrefixNode { NeedsLastLogits: true } node && firstToken + numTokens == node.TokenIds.Count)
                node.LastLogits = rows[^vocabularySize..].ToArray();
            onLogits(span, firstToken, rows);
        }
        return next;
    }
}
