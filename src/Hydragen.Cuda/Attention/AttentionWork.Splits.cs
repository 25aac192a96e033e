using Hydragen.Core;

namespace Hydragen.Cuda;

/// <content>Which kernel computes sequences, into how many pieces keys are cut, and which multiprocessors nodes leave to the sequences.</content>
internal sealed partial class AttentionWork
{
    // How much longer one warp needs for a page than four (measured on an H200).
    private const double LoneWarpFactor = 1.6;

    // One class for all of a kind: a launch more would cost more than it gains.
    private void ChooseSequenceClass(int kind)
    {
        (_sequenceClasses[kind], _takesTickets[kind]) = (ItemClass.Sequence, false);
        if (_isScalar) return;
        long numTasks = 0, numKeys = 0;
        int longest = 0;
        bool isBesideNodes = false;
        for (int i = 0; i < _plan.Segments.Length; i++)
        {
            AttentionSegment segment = _plan.Segments[i];
            if (segment.NumKeys == 0 || IsFolded(i)) continue;
            isBesideNodes |= !_routes.IsSequence(i) && ClassOf(i) == ItemClass.WideNode;
            if ((int)KindOf(i) != kind || !_routes.IsSequence(i)) continue;
            int keys = segment.NumKeys + CountFolded(i).Keys;
            long tasks = CountTiles(i, ItemClass.Sequence) * _numKvHeads;
            numTasks += tasks;
            numKeys += tasks * keys;
            longest = Math.Max(longest, keys);
        }
        if (numTasks == 0) return;
        _sequenceClasses[kind] = _costs[kind].Rule.ClassOf(numTasks, longest, (double)numKeys / numTasks, isBesideNodes);
        _takesTickets[kind] = _sequenceClasses[kind] == ItemClass.Sequence || longest > SequenceRule.ShortKeys;
    }

    private void ChooseSplits(AttentionShape shape)
    {
        double secondsPerPart = SecondsPerPart(shape), sequenceBytes = 0;
        int numReaders = rates.NumMultiprocessors * SequenceBlocks;
        var sequences = new WorkBalance[_readings.Length];
        var nodes = new WorkBalance[_readings.Length];
        for (int kind = 0; kind < _readings.Length; kind++)
        {
            double share = _sequenceClasses[kind] == ItemClass.Sequence ? 1 : LoneWarpFactor;
            sequences[kind] = new WorkBalance(_readings[kind].BytesPerPage(shape) * SecondsPerByte * share, SecondsPerSequenceTask, MinSequencePages);
            nodes[kind] = new WorkBalance(_readings[kind].NodeSeconds(shape, rates), SecondsPerNodeTask, MinPagesPerSplit);
        }
        Span<long> pages = stackalloc long[MaxLists];
        for (int i = 0; i < _plan.Segments.Length; i++)
        {
            AttentionSegment segment = _plan.Segments[i];
            if (segment.NumKeys == 0 || IsFolded(i)) continue;
            ItemClass itemClass = ClassOf(i);
            int kind = (int)KindOf(i);
            long numTiles = CountTiles(i, itemClass) * shape.NumKvHeads;
            pages[ListOf(itemClass, (PageKind)kind)] += numTiles * segment.NumPages;
            if (itemClass is ItemClass.Sequence or ItemClass.ShortSequence or ItemClass.CrowdedSequence)
            {
                sequences[kind].Add(segment.NumPages + CountFolded(i).Pages, numTiles, segment.NumRows);
                sequenceBytes += numTiles * (_readings[kind].BytesPerPage(shape) / KvCache.PageSize) * segment.NumKeys;
            }
            if (itemClass == ItemClass.WideNode) nodes[kind].Add(segment.NumPages, numTiles, segment.NumRows);
        }
        int numBlocks = rates.NumMultiprocessors * BlocksPerMultiprocessor;
        for (int i = 0; i < NumLists; i++)
            _pagesPerSplit[i] = (int)Math.Clamp((pages[i] + numBlocks - 1) / numBlocks, MinPagesPerSplit, int.MaxValue);
        for (int kind = 0; kind < _readings.Length; kind++)
        {
            _pagesPerSplit[ListOf(ItemClass.Sequence, (PageKind)kind)] = sequences[kind].Choose(numReaders, secondsPerPart);
            _pagesPerSplit[ListOf(ItemClass.ShortSequence, (PageKind)kind)] = _pagesPerSplit[ListOf(ItemClass.CrowdedSequence, (PageKind)kind)] = int.MaxValue;
            _pagesPerSplit[ListOf(ItemClass.WideNode, (PageKind)kind)] = nodes[kind].Choose(rates.NumMultiprocessors, secondsPerPart);
        }
        NumNodeBlocks = rates.NumMultiprocessors;
        // The kernels of both kinds run one after the other, and only the last of the nodes beside the first of the sequences.
        int shared = Array.FindIndex(nodes, balance => !balance.IsEmpty);
        if (shared < 0 || Array.FindLastIndex(nodes, balance => !balance.IsEmpty) != shared) return;
        // Sequences without tickets are given to blocks before it is known when these start.
        for (int kind = 0; kind < _readings.Length; kind++)
        {
            if (!_takesTickets[kind] && !sequences[kind].IsEmpty) return;
        }
        ShareMultiprocessors(nodes[shared], ListOf(ItemClass.WideNode, (PageKind)shared), secondsPerPart, numMultiprocessors =>
        {
            double seconds = 0;
            for (int kind = 0; kind < sequences.Length; kind++)
                seconds += sequences[kind].Seconds(_pagesPerSplit[ListOf(_sequenceClasses[kind], (PageKind)kind)], numMultiprocessors * ReadersOn(kind));
            return Math.Max(sequenceBytes / rates.Bytes, seconds);
        });
    }

    /// <summary>Blocks, or warps where each has tasks of its own, that compute sequences on a multiprocessor.</summary>
    private int ReadersOn(int kind) => _sequenceClasses[kind] == ItemClass.Sequence ? SequenceBlocks : SequenceRule.WarpsAhead;

    /// <summary>
    /// Nodes are bound by arithmetic and sequences by memory, so they run side by side: blocks of the node kernel have a multiprocessor each,
    /// sequences the others, and all when the nodes are done.
    /// </summary>
    /// <param name="nodes">The nodes.</param>
    /// <param name="list">Their list.</param>
    /// <param name="secondsPerPart">What each further partial result of a row costs.</param>
    /// <param name="sequenceSeconds">How long some multiprocessors need for all sequences.</param>
    private void ShareMultiprocessors(WorkBalance nodes, int list, double secondsPerPart, Func<int, double> sequenceSeconds)
    {
        double alone = sequenceSeconds(rates.NumMultiprocessors);
        if (alone == 0) return;
        double best = nodes.Seconds(_pagesPerSplit[list], NumNodeBlocks) + alone;
        int step = Math.Max(1, rates.NumMultiprocessors / 32);
        for (int numBlocks = rates.NumMultiprocessors - step; numBlocks >= 1; numBlocks -= step)
        {
            int pages = nodes.Choose(numBlocks, secondsPerPart);
            double nodeSeconds = nodes.Seconds(pages, numBlocks), beside = sequenceSeconds(rates.NumMultiprocessors - numBlocks);
            double seconds = nodeSeconds + Math.Max(0, 1 - nodeSeconds / beside) * alone;
            if (seconds >= best) continue;
            (best, NumNodeBlocks, _pagesPerSplit[list]) = (seconds, numBlocks, pages);
        }
    }
}
