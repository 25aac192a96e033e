using System.Text;

namespace Hydragen.Text.Decoders;

/// <summary>Removes up to a number of one character from both ends of every token.</summary>
internal sealed class StripDecoder(Rune character, int maximumAtStart, int maximumAtEnd) : Decoder
{
    public override DecodeStage Start(DecodeStage next) => new Stage(next, character.ToString(), maximumAtStart, maximumAtEnd);

    /// <summary>Passes a token on in parts, holding back only what could still be cut from its end.</summary>
    private sealed class Stage(DecodeStage next, string character, int maximumAtStart, int maximumAtEnd) : DecodeStage
    {
        private int _numCutAtStart;
        private bool _isPastStart;

        // Copies of the character that may turn out to be the token's end.
        private int _numHeldBack;

        public override void Write(ReadOnlySpan<char> text, bool endsToken)
        {
            while (!_isPastStart && !text.IsEmpty)
            {
                _isPastStart = _numCutAtStart == maximumAtStart || !text.StartsWith(character);
                if (!_isPastStart)
                {
                    text = text[character.Length..];
                    _numCutAtStart++;
                }
            }

            int end = text.Length;
            int numAtEnd = 0;
            for (; maximumAtEnd > 0 && text[..end].EndsWith(character); end -= character.Length)
                numAtEnd++;
            if (end > 0)
            {
                PassHeldBack(_numHeldBack);
                _numHeldBack = 0;
                next.Write(text[..end], endsToken: false);
            }

            _numHeldBack += numAtEnd;
            if (_numHeldBack > maximumAtEnd)
            {
                PassHeldBack(_numHeldBack - maximumAtEnd);
                _numHeldBack = maximumAtEnd;
            }

            if (endsToken)
            {
                next.Write([], endsToken: true);
                (_numCutAtStart, _isPastStart, _numHeldBack) = (0, false, 0);
            }
        }

        public override void Complete() => next.Complete();

        private void PassHeldBack(int count)
        {
            for (int i = 0; i < count; i++)
                next.Write(character, endsToken: false);
        }
    }
}
