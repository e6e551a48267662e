// streamtask: a client for browsers and programs. Generated from src/ by `npm run build`; do not edit.
// Apache-2.0 OR MIT
/*! Contains these libraries, in the line below:

dompurify 3.5.0, (MPL-2.0 OR Apache-2.0)

(c) Cure53 and other contributors. http://www.apache.org/licenses/LICENSE-2.0

--------------------------------------------------------------------------------

entities 8.1.0, BSD-2-Clause

Copyright (c) Felix Böhm
All rights reserved.

Redistribution and use in source and binary forms, with or without modification, are permitted provided that the following conditions are met:

Redistributions of source code must retain the above copyright notice, this list of conditions and the following disclaimer.

Redistributions in binary form must reproduce the above copyright notice, this list of conditions and the following disclaimer in the documentation and/or other materials provided with the distribution.

THIS IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE OF THIS,
EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.

--------------------------------------------------------------------------------

linkify-it 6.1.0, MIT

Copyright (c) 2015 Vitaly Puzrin.

Permission is hereby granted, free of charge, to any person
obtaining a copy of this software and associated documentation
files (the "Software"), to deal in the Software without
restriction, including without limitation the rights to use,
copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the
Software is furnished to do so, subject to the following
conditions:

The above copyright notice and this permission notice shall be
included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND,
EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES
OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT
HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY,
WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING
FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR
OTHER DEALINGS IN THE SOFTWARE.

--------------------------------------------------------------------------------

markdown-it 15.0.3, MIT

Copyright (c) 2014 Vitaly Puzrin, Alex Kocharin.

Permission is hereby granted, free of charge, to any person
obtaining a copy of this software and associated documentation
files (the "Software"), to deal in the Software without
restriction, including without limitation the rights to use,
copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the
Software is furnished to do so, subject to the following
conditions:

The above copyright notice and this permission notice shall be
included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND,
EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES
OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT
HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY,
WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING
FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR
OTHER DEALINGS IN THE SOFTWARE.

--------------------------------------------------------------------------------

mdurl 2.1.0, MIT

Copyright (c) 2015 Vitaly Puzrin, Alex Kocharin.

Permission is hereby granted, free of charge, to any person
obtaining a copy of this software and associated documentation
files (the "Software"), to deal in the Software without
restriction, including without limitation the rights to use,
copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the
Software is furnished to do so, subject to the following
conditions:

The above copyright notice and this permission notice shall be
included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND,
EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES
OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT
HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY,
WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING
FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR
OTHER DEALINGS IN THE SOFTWARE.

--------------------------------------------------------------------------------

.parse() is based on Joyent's node.js `url` code:

Copyright Joyent, Inc. and other Node contributors. All rights reserved.
Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to
deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or
sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in
all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING
FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS
IN THE SOFTWARE.

--------------------------------------------------------------------------------

punycode.js 2.3.1, MIT

Copyright Mathias Bynens <https://mathiasbynens.be/>

Permission is hereby granted, free of charge, to any person obtaining
a copy of this software and associated documentation files (the
"Software"), to deal in the Software without restriction, including
without limitation the rights to use, copy, modify, merge, publish,
distribute, sublicense, and/or sell copies of the Software, and to
permit persons to whom the Software is furnished to do so, subject to
the following conditions:

The above copyright notice and this permission notice shall be
included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND,
EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE
LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION
OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION
WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

--------------------------------------------------------------------------------

uc.micro 3.0.0, MIT

Copyright Mathias Bynens <https://mathiasbynens.be/>

Permission is hereby granted, free of charge, to any person obtaining
a copy of this software and associated documentation files (the
"Software"), to deal in the Software without restriction, including
without limitation the rights to use, copy, modify, merge, publish,
distribute, sublicense, and/or sell copies of the Software, and to
permit persons to whom the Software is furnished to do so, subject to
the following conditions:

The above copyright notice and this permission notice shall be
included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND,
EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE
LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION
OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION
WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
*/
var libraries=(()=>{var un=Object.defineProperty;var Lo=Object.getOwnPropertyDescriptor;var Mo=Object.getOwnPropertyNames;var No=Object.prototype.hasOwnProperty;var an=(e,t)=>{for(var n in t)un(e,n,{get:t[n],enumerable:!0})},Oo=(e,t,n,i)=>{if(t&&typeof t=="object"||typeof t=="function")for(let r of Mo(t))!No.call(e,r)&&r!==n&&un(e,r,{get:()=>t[r],enumerable:!(i=Lo(t,r))||i.enumerable});return e};var Bo=e=>Oo(un({},"__esModule",{value:!0}),e);var Ha={};an(Ha,{dompurify:()=>Br,markdown_it:()=>Ui});function zo(e,t){this.v=e,this.k=t}function mr(e,t){(t==null||t>e.length)&&(t=e.length);for(var n=0,i=Array(t);n<t;n++)i[n]=e[n];return i}function Po(e){if(Array.isArray(e))return e}function jo(e,t){var n=e==null?null:typeof Symbol<"u"&&e[Symbol.iterator]||e["@@iterator"];if(n!=null){var i,r,o,u,a=[],c=!0,l=!1;try{if(o=(n=n.call(e)).next,t===0){if(Object(n)!==n)return;c=!1}else for(;!(c=(i=o.call(n)).done)&&(a.push(i.value),a.length!==t);c=!0);}catch(p){l=!0,r=p}finally{try{if(!c&&n.return!=null&&(u=n.return(),Object(u)!==u))return}finally{if(l)throw r}}return a}}function Uo(){throw new TypeError(`Invalid attempt to destructure non-iterable instance.
In order to be iterable, non-array objects must have a [Symbol.iterator]() method.`)}function Jo(e,t){return Po(e)||jo(e,t)||Wo(e,t)||Uo()}function Wo(e,t){if(e){if(typeof e=="string")return mr(e,t);var n={}.toString.call(e).slice(8,-1);return n==="Object"&&e.constructor&&(n=e.constructor.name),n==="Map"||n==="Set"?Array.from(e):n==="Arguments"||/^(?:Ui|I)nt(?:8|16|32)(?:Clamped)?Array$/.test(n)?mr(e,t):void 0}}function Ct(e){var t,n;function i(o,u){try{var a=e[o](u),c=a.value,l=c instanceof zo;Promise.resolve(l?c.v:c).then(function(p){if(l){var h=o==="return"&&c.k?o:"next";if(!c.k||p.done)return i(h,p);p=e[h](p).value}r(!!a.done,p)},function(p){i("throw",p)})}catch(p){r(2,p)}}function r(o,u){o===2?t.reject(u):t.resolve({value:u,done:o}),(t=t.next)?i(t.key,t.arg):n=null}this._invoke=function(o,u){return new Promise(function(a,c){var l={key:o,arg:u,resolve:a,reject:c,next:null};n?n=n.next=l:(t=n=l,i(o,u))})},typeof e.return!="function"&&(this.return=void 0)}Ct.prototype[typeof Symbol=="function"&&Symbol.asyncIterator||"@@asyncIterator"]=function(){return this},Ct.prototype.next=function(e){return this._invoke("next",e)},Ct.prototype.throw=function(e){return this._invoke("throw",e)},Ct.prototype.return=function(e){return this._invoke("return",e)};var Ir=Object.entries,Ho=Object.keys,_r=Object.setPrototypeOf,$o=Object.isFrozen,Lr=Object.getPrototypeOf,Mr=Object.getOwnPropertyDescriptor,K=Object.freeze,$=Object.seal,xe=Object.create,Nr=typeof Reflect<"u"&&Reflect,vt=Nr.apply,Rn=Nr.construct;K||(K=function(t){return t});$||($=function(t){return t});vt||(vt=function(t,n){for(var i=arguments.length,r=new Array(i>2?i-2:0),o=2;o<i;o++)r[o-2]=arguments[o];return t.apply(n,r)});Rn||(Rn=function(t){for(var n=arguments.length,i=new Array(n>1?n-1:0),r=1;r<n;r++)i[r-1]=arguments[r];return new t(...i)});var ie=z(Array.prototype.forEach),qo=z(Array.prototype.lastIndexOf),gr=z(Array.prototype.pop),Ge=z(Array.prototype.push),br=z(Array.prototype.slice),Zo=z(Array.prototype.splice),Pe=Array.isArray,cn=An(Set),ln=z(Set.prototype.add),Ye=z(Set.prototype.has),Xo=z(Set.prototype.delete),Go=An(Map),Rr=z(Map.prototype.get),Ar=z(Map.prototype.set),be=z(String.prototype.toLowerCase),fn=z(String.prototype.toString),Yo=z(String.prototype.match),Ve=z(String.prototype.replace),hn=z(String.prototype.indexOf),Vo=z(String.prototype.trim),Ko=z(Number.prototype.toString),Qo=z(Boolean.prototype.toString),kr=typeof BigInt>"u"?null:z(BigInt.prototype.toString),xr=typeof Symbol>"u"?null:z(Symbol.prototype.toString),ne=z(Object.prototype.hasOwnProperty),Ke=z(Object.prototype.toString),es=RegExp.prototype.test,G=function(t,n){return t instanceof RegExp&&(t.lastIndex=0),vt(es,t,[n])},fe=An(TypeError);function z(e){return function(t){for(var n=arguments.length,i=new Array(n>1?n-1:0),r=1;r<n;r++)i[r-1]=arguments[r];return vt(e,t,i)}}function An(e){return function(){for(var t=arguments.length,n=new Array(t),i=0;i<t;i++)n[i]=arguments[i];return Rn(e,n)}}function N(e,t){let n=arguments.length>2&&arguments[2]!==void 0?arguments[2]:be;if(_r&&_r(e,null),!Pe(t))return e;let i=t.length;for(;i--;){let r=t[i];if(typeof r=="string"){let o=n(r);o!==r&&($o(t)||(t[i]=o),r=o)}e[r]=!0}return e}function ts(e){for(let t=0;t<e.length;t++)ne(e,t)||(e[t]=null);return e}function wt(e){let t=xe(null);for(let i of Ir(e)){var n=Jo(i,2);let r=n[0],o=n[1];ne(e,r)&&(Pe(o)?t[r]=ts(o):o&&typeof o=="object"&&o.constructor===Object?t[r]=wt(o):t[r]=o)}return t}function Qe(e){let t=xe(null),n=Ho(e),i=n.length;for(;i--;)t[n[i]]=e[n[i]];return t}function ns(e){switch(typeof e){case"string":return e;case"number":return Ko(e);case"boolean":return Qo(e);case"bigint":return kr?kr(e):"0";case"symbol":return xr?xr(e):"Symbol()";case"undefined":return Ke(e);case"function":case"object":{if(e===null)return Ke(e);let t=e,n=re(t,"toString");if(typeof n=="function"){let i=n(t);return typeof i=="string"?i:Ke(i)}return Ke(e)}default:return Ke(e)}}function re(e,t){for(;e!==null;){let i=Mr(e,t);if(i){if(i.get)return z(i.get);if(typeof i.value=="function")return z(i.value)}e=Lr(e)}function n(){return null}return n}function rs(e,t){for(;e!==null;){let n=Mr(e,t);if(n)return n.get?z(n.get):null;e=Lr(e)}return null}function is(e){if(!e)return!1;try{return G(e,""),!0}catch{return!1}}var Er=K(["a","abbr","acronym","address","area","article","aside","audio","b","bdi","bdo","big","blink","blockquote","body","br","button","canvas","caption","center","cite","code","col","colgroup","content","data","datalist","dd","decorator","del","details","dfn","dialog","dir","div","dl","dt","element","em","fieldset","figcaption","figure","font","footer","form","h1","h2","h3","h4","h5","h6","head","header","hgroup","hr","html","i","img","input","ins","kbd","label","legend","li","main","map","mark","marquee","menu","menuitem","meter","nav","nobr","ol","optgroup","option","output","p","picture","pre","progress","q","rp","rt","ruby","s","samp","search","section","select","shadow","slot","small","source","spacer","span","strike","strong","style","sub","summary","sup","table","tbody","td","template","textarea","tfoot","th","thead","time","tr","track","tt","u","ul","var","video","wbr"]),dn=K(["svg","a","altglyph","altglyphdef","altglyphitem","animatecolor","animatemotion","animatetransform","circle","clippath","defs","desc","ellipse","filter","font","g","glyph","glyphref","hkern","image","line","lineargradient","marker","mask","metadata","mpath","path","pattern","polygon","polyline","radialgradient","rect","stop","style","switch","symbol","text","textpath","title","tref","tspan","view","vkern"]),pn=K(["feBlend","feColorMatrix","feComponentTransfer","feComposite","feConvolveMatrix","feDiffuseLighting","feDisplacementMap","feDistantLight","feDropShadow","feFlood","feFuncA","feFuncB","feFuncG","feFuncR","feGaussianBlur","feImage","feMerge","feMergeNode","feMorphology","feOffset","fePointLight","feSpecularLighting","feSpotLight","feTile","feTurbulence"]),os=K(["animate","color-profile","cursor","discard","font-face","font-face-format","font-face-name","font-face-src","font-face-uri","foreignobject","hatch","hatchpath","mesh","meshgradient","meshpatch","meshrow","missing-glyph","script","set","solidcolor","unknown","use"]),mn=K(["math","menclose","merror","mfenced","mfrac","mglyph","mi","mlabeledtr","mmultiscripts","mn","mo","mover","mpadded","mphantom","mroot","mrow","ms","mspace","msqrt","mstyle","msub","msup","msubsup","mtable","mtd","mtext","mtr","munder","munderover","mprescripts"]),ss=K(["maction","maligngroup","malignmark","mlongdiv","mscarries","mscarry","msgroup","mstack","msline","msrow","semantics","annotation","annotation-xml","mprescripts","none"]),Cr=K(["#text"]),Dr=K(["accept","action","align","alt","autocapitalize","autocomplete","autopictureinpicture","autoplay","background","bgcolor","border","capture","cellpadding","cellspacing","checked","cite","class","clear","color","cols","colspan","command","commandfor","controls","controlslist","coords","crossorigin","datetime","decoding","default","dir","disabled","disablepictureinpicture","disableremoteplayback","download","draggable","enctype","enterkeyhint","exportparts","face","for","headers","height","hidden","high","href","hreflang","id","inert","inputmode","integrity","ismap","kind","label","lang","list","loading","loop","low","max","maxlength","media","method","min","minlength","multiple","muted","name","nonce","noshade","novalidate","nowrap","open","optimum","part","pattern","placeholder","playsinline","popover","popovertarget","popovertargetaction","poster","preload","pubdate","radiogroup","readonly","rel","required","rev","reversed","role","rows","rowspan","spellcheck","scope","selected","shape","size","sizes","slot","span","srclang","start","src","srcset","step","style","summary","tabindex","title","translate","type","usemap","valign","value","width","wrap","xmlns"]),_n=K(["accent-height","accumulate","additive","alignment-baseline","amplitude","ascent","attributename","attributetype","azimuth","basefrequency","baseline-shift","begin","bias","by","class","clip","clippathunits","clip-path","clip-rule","color","color-interpolation","color-interpolation-filters","color-profile","color-rendering","cx","cy","d","dx","dy","diffuseconstant","direction","display","divisor","dominant-baseline","dur","edgemode","elevation","end","exponent","fill","fill-opacity","fill-rule","filter","filterunits","flood-color","flood-opacity","font-family","font-size","font-size-adjust","font-stretch","font-style","font-variant","font-weight","fx","fy","g1","g2","glyph-name","glyphref","gradientunits","gradienttransform","height","href","id","image-rendering","in","in2","intercept","k","k1","k2","k3","k4","kerning","keypoints","keysplines","keytimes","lang","lengthadjust","letter-spacing","kernelmatrix","kernelunitlength","lighting-color","local","marker-end","marker-mid","marker-start","markerheight","markerunits","markerwidth","maskcontentunits","maskunits","max","mask","mask-type","media","method","mode","min","name","numoctaves","offset","operator","opacity","order","orient","orientation","origin","overflow","paint-order","path","pathlength","patterncontentunits","patterntransform","patternunits","pointer-events","points","preservealpha","preserveaspectratio","primitiveunits","r","rx","ry","radius","refx","refy","repeatcount","repeatdur","restart","result","rotate","scale","seed","shape-rendering","slope","specularconstant","specularexponent","spreadmethod","startoffset","stddeviation","stitchtiles","stop-color","stop-opacity","stroke-dasharray","stroke-dashoffset","stroke-linecap","stroke-linejoin","stroke-miterlimit","stroke-opacity","stroke","stroke-width","style","surfacescale","systemlanguage","tabindex","tablevalues","targetx","targety","transform","transform-origin","text-anchor","text-decoration","text-orientation","text-rendering","textlength","type","u1","u2","unicode","values","vector-effect","viewbox","visibility","version","vert-adv-y","vert-origin-x","vert-origin-y","width","word-spacing","wrap","writing-mode","xchannelselector","ychannelselector","x","x1","x2","xmlns","y","y1","y2","z","zoomandpan"]),vr=K(["accent","accentunder","align","bevelled","close","columnalign","columnlines","columnspacing","columnspan","denomalign","depth","dir","display","displaystyle","encoding","fence","frame","height","href","id","largeop","length","linethickness","lquote","lspace","mathbackground","mathcolor","mathsize","mathvariant","maxsize","minsize","movablelimits","notation","numalign","open","rowalign","rowlines","rowspacing","rowspan","rspace","rquote","scriptlevel","scriptminsize","scriptsizemultiplier","selection","separator","separators","stretchy","subscriptshift","supscriptshift","symmetric","voffset","width","xmlns"]),Dt=K(["xlink:href","xml:id","xlink:title","xml:space","xmlns:xlink"]),us=$(/{{[\w\W]*|^[\w\W]*}}/g),as=$(/<%[\w\W]*|^[\w\W]*%>/g),cs=$(/\${[\w\W]*/g),wr=$(/{{|}}|\${|<%|%>/),ls=$(/[^\t\n\f\r ]/),yr=$(/\u0000/g),fs=$(/^data-[\-\w.\u00B7-\uFFFF]+$/),hs=$(/^aria-[\-\w]+$/),Tr=$(/^(?:(?:(?:f|ht)tps?|mailto|tel|callto|sms|cid|xmpp|matrix):|[^a-z]|[a-z+.\-]+(?:[^a-z+.\-:]|$))/i),ds=$(/^(?:\w+script|data):/i),ps=$(/[\u0000-\u0020\u00A0\u1680\u180E\u2000-\u2029\u205F\u3000]/g),ms=$(/^html$/i),_s=$(/^[a-z][.\w]*(-[.\w]+)+$/i),gn=$(/<[/\w!]/g),gs=$(/<[/\w]/g),bs=$(/<[/\w]|^-?>|--!?>|<!-$/g),Rs=$(/<\/no(script|embed|frames)/i),Fr=$(/\/>/i),As=$(/((--!?|])>)|<\/(style|script|title|xmp|textarea|noscript|iframe|noembed|noframes)/i),ks=$(/^[\r\n\t ]+/),U={element:1,text:3,processingInstruction:7,comment:8,document:9,documentFragment:11},xs=K(N({},["style","script","xmp","iframe","noembed","noframes","plaintext","noscript"])),Es=K(N({},["textarea","title"])),Cs=K(N({},["area","base","basefont","bgsound","br","col","embed","frame","hr","img","input","keygen","link","meta","param","source","track","wbr"])),Ds=function(){return typeof window>"u"?null:window},vs=function(t,n){if(typeof t!="object"||typeof t.createPolicy!="function")return null;let i=null,r="data-tt-policy-suffix";n&&n.hasAttribute(r)&&(i=n.getAttribute(r));let o="dompurify"+(i?"#"+i:"");try{return t.createPolicy(o,{createHTML(u){return u},createScriptURL(u){return u}})}catch{return console.warn("TrustedTypes policy "+o+" could not be created."),null}},Sr=function(){return{afterSanitizeAttributes:[],afterSanitizeElements:[],afterSanitizeShadowDOM:[],beforeSanitizeAttributes:[],beforeSanitizeElements:[],beforeSanitizeShadowDOM:[],uponSanitizeAttribute:[],uponSanitizeElement:[],uponSanitizeShadowNode:[]}},ke=function(t,n,i,r){return ne(t,n)&&Pe(t[n])?N(r.base?Qe(r.base):{},t[n],r.transform):i},bn=function(t,n,i){let r=ne(t,n)?t[n]:void 0;return r&&typeof r=="object"?wt(r):i};function Or(){let e=arguments.length>0&&arguments[0]!==void 0?arguments[0]:Ds(),t=R=>Or(R);if(t.version="3.5.0",t.removed=[],!e||!e.document||e.document.nodeType!==U.document||!e.Element)return t.isSupported=!1,t;let n=e.document,i=n,r=i.currentScript,o=e.HTMLTemplateElement,u=e.Node,a=e.Element,c=e.NodeFilter,l=e.DOMParser,p=e.trustedTypes,h=a.prototype,b=re(h,"cloneNode"),_=re(h,"remove"),d=re(h,"removeChild"),S=re(h,"removeAttributeNode"),k=re(h,"nextSibling"),D=re(h,"childNodes"),v=re(h,"parentNode"),x=re(h,"shadowRoot"),A=re(h,"attributes"),C=u&&u.prototype?re(u.prototype,"nodeType"):null,y=u&&u.prototype?re(u.prototype,"nodeName"):null,L=u&&u.prototype?re(u.prototype,"ownerDocument"):null,M=function(s){return C?C(s):s.nodeType},I=function(s){return y?y(s):s.nodeName},H=rs(h,"namespaceURI"),O=function(s){return H?H(s):s.namespaceURI},Q=function(s){return M(s)===U.element?A(s):null};if(typeof o=="function"){let R=n.createElement("template");R.content&&R.content.ownerDocument&&(n=R.content.ownerDocument)}let j,V="",ee,lt=!1,Je=0,jn=function(){if(Je>0)throw fe('A configured TRUSTED_TYPES_POLICY callback (createHTML or createScriptURL) must not call DOMPurify.sanitize, as that causes infinite recursion. Do not pass a policy whose callbacks wrap DOMPurify as TRUSTED_TYPES_POLICY; see the "DOMPurify and Trusted Types" section of the README.')},We=function(s){jn(),Je++;try{return j.createHTML(s)}finally{Je--}},Un=function(s){return j&&Ht?We(s):s},Ji=function(s){jn(),Je++;try{return j.createScriptURL(s)}finally{Je--}},Wi=function(){return lt||(ee=vs(p,r),lt=!0),ee},ft=n,zt=ft.implementation,Hi=ft.createNodeIterator,$i=ft.createDocumentFragment,qi=ft.getElementsByTagName,Zi=i.importNode,q=Sr();t.isSupported=typeof Ir=="function"&&typeof v=="function"&&zt&&zt.createHTMLDocument!==void 0;let Xi=us,Gi=as,Yi=cs,Vi=fs,Ki=hs,Qi=ds,eo=ps,to=_s,Jn=Tr,J=null,Pt=N({},[...Er,...dn,...pn,...mn,...Cr]),W=null,jt=N({},[...Dr,..._n,...vr,...Dt]),se=null,He=null,Wn=null,Re=Object.seal(xe(null,{tagCheck:{writable:!0,configurable:!1,enumerable:!0,value:null},attributeCheck:{writable:!0,configurable:!1,enumerable:!0,value:null}})),Hn=!0,Ut=!0,$n=!1,Jt=!0,me=!1,ve=!0,we=!1,ht=!1,dt=null,pt=null,Wt=!1,Le=!1,mt=!1,Ht=!1,qn=!0,Zn=!1,Xn="user-content-",$t=!0,qt=!1,_e=null,ye=null,Me=!1,Te=null,Gn=N({},["annotation-xml","audio","colgroup","desc","foreignobject","head","iframe","math","mi","mn","mo","ms","mtext","noembed","noframes","noscript","plaintext","script","selectedcontent","style","svg","template","thead","title","video","xmp"]),Yn=null,Vn=N({},["audio","video","img","source","image","track"]),Kn=null,Qn=N({},["alt","class","for","id","label","name","pattern","placeholder","role","summary","title","value","style","xmlns"]),_t="http://www.w3.org/1998/Math/MathML",gt="http://www.w3.org/2000/svg",ue="http://www.w3.org/1999/xhtml",Ne=ue,Zt=!1,er=null,no=N({},[_t,gt,ue],fn),ro=K(N({},["mi","mo","mn","ms","mtext"])),Xt=null,io=K(N({},["annotation-xml"])),Gt=null,oo=K(xe(null)),so=N({},["title","style","font","a","script"]),Oe=null,uo=["application/xhtml+xml","text/html"],ao="text/html",Z=null,$e=null,bt=null,co=n.createElement("form"),tr=function(s){return s instanceof RegExp||s instanceof Function},Rt=function(){let s=arguments.length>0&&arguments[0]!==void 0?arguments[0]:{};(!s||typeof s!="object")&&(s={}),s=wt(s),Oe=uo.indexOf(s.PARSER_MEDIA_TYPE)===-1?ao:s.PARSER_MEDIA_TYPE,Z=Oe==="application/xhtml+xml"?fn:be,J=ke(s,"ALLOWED_TAGS",Pt,{transform:Z}),W=ke(s,"ALLOWED_ATTR",jt,{transform:Z}),er=ke(s,"ALLOWED_NAMESPACES",no,{transform:fn}),Kn=ke(s,"ADD_URI_SAFE_ATTR",Qn,{transform:Z,base:Qn}),Yn=ke(s,"ADD_DATA_URI_TAGS",Vn,{transform:Z,base:Vn}),Te=ke(s,"FORBID_CONTENTS",Gn,{transform:Z}),He=ke(s,"FORBID_TAGS",xe(null),{transform:Z}),Wn=ke(s,"FORBID_ATTR",xe(null),{transform:Z}),Me=ne(s,"USE_PROFILES")?s.USE_PROFILES&&typeof s.USE_PROFILES=="object"?wt(s.USE_PROFILES):s.USE_PROFILES:!1,Hn=s.ALLOW_ARIA_ATTR!==!1,Ut=s.ALLOW_DATA_ATTR!==!1,$n=s.ALLOW_UNKNOWN_PROTOCOLS||!1,Jt=s.ALLOW_SELF_CLOSE_IN_ATTR!==!1,me=s.SAFE_FOR_TEMPLATES||!1,ve=s.SAFE_FOR_XML!==!1,we=s.WHOLE_DOCUMENT||!1,Le=s.RETURN_DOM||!1,mt=s.RETURN_DOM_FRAGMENT||!1,Ht=s.RETURN_TRUSTED_TYPE||!1,Wt=s.FORCE_BODY||!1,qn=s.SANITIZE_DOM!==!1,Zn=s.SANITIZE_NAMED_PROPS||!1,$t=s.KEEP_CONTENT!==!1,qt=s.IN_PLACE||!1,Jn=is(s.ALLOWED_URI_REGEXP)?s.ALLOWED_URI_REGEXP:Tr,Ne=typeof s.NAMESPACE=="string"?s.NAMESPACE:ue,Xt=bn(s,"MATHML_TEXT_INTEGRATION_POINTS",ro),Gt=bn(s,"HTML_INTEGRATION_POINTS",io);let f=bn(s,"CUSTOM_ELEMENT_HANDLING",oo);if(se=xe(null),ne(f,"tagNameCheck")&&tr(f.tagNameCheck)&&(se.tagNameCheck=f.tagNameCheck),ne(f,"attributeNameCheck")&&tr(f.attributeNameCheck)&&(se.attributeNameCheck=f.attributeNameCheck),ne(f,"allowCustomizedBuiltInElements")&&typeof f.allowCustomizedBuiltInElements=="boolean"&&(se.allowCustomizedBuiltInElements=f.allowCustomizedBuiltInElements),$(se),me&&(Ut=!1),mt&&(Le=!0),Me&&((ne(s,"ALLOWED_TAGS")||ne(s,"ALLOWED_ATTR"))&&typeof console<"u"&&typeof console.warn=="function"&&console.warn("DOMPurify: USE_PROFILES overrides ALLOWED_TAGS and ALLOWED_ATTR. Do not use these options together."),J=N({},Cr),W=xe(null),Me.html===!0&&(N(J,Er),N(W,Dr)),Me.svg===!0&&(N(J,dn),N(W,_n),N(W,Dt)),Me.svgFilters===!0&&(N(J,pn),N(W,_n),N(W,Dt)),Me.mathMl===!0&&(N(J,mn),N(W,vr),N(W,Dt))),Re.tagCheck=null,Re.attributeCheck=null,ne(s,"ADD_TAGS")&&(typeof s.ADD_TAGS=="function"?Re.tagCheck=s.ADD_TAGS:Pe(s.ADD_TAGS)&&(J===Pt&&(J=Qe(J)),N(J,s.ADD_TAGS,Z))),ne(s,"ADD_ATTR")&&(typeof s.ADD_ATTR=="function"?Re.attributeCheck=s.ADD_ATTR:Pe(s.ADD_ATTR)&&(W===jt&&(W=Qe(W)),N(W,s.ADD_ATTR,Z))),ne(s,"ADD_FORBID_CONTENTS")&&Pe(s.ADD_FORBID_CONTENTS)&&(Te===Gn&&(Te=Qe(Te)),N(Te,s.ADD_FORBID_CONTENTS,Z)),$t&&(J["#text"]=!0),we&&N(J,["html","head","body"]),J.table&&(J.tbody=!0,delete He.tbody),s.TRUSTED_TYPES_POLICY){if(typeof s.TRUSTED_TYPES_POLICY.createHTML!="function")throw fe('TRUSTED_TYPES_POLICY configuration option must provide a "createHTML" hook.');if(typeof s.TRUSTED_TYPES_POLICY.createScriptURL!="function")throw fe('TRUSTED_TYPES_POLICY configuration option must provide a "createScriptURL" hook.');let m=j;j=s.TRUSTED_TYPES_POLICY;try{V=We("")}catch(g){throw j=m,g}}else s.TRUSTED_TYPES_POLICY===null?(j=void 0,V=""):(j===void 0&&(j=Wi()),j&&typeof V=="string"&&(V=We("")));$e=K(s)},nr=N({},[...dn,...pn,...os]),rr=N({},[...mn,...ss]),lo=function(s,f,m){return f===ue?s==="svg":f===_t?s==="svg"&&(m==="annotation-xml"||Xt[m]):!!nr[s]},fo=function(s,f,m){return f===ue?s==="math":f===gt?s==="math"&&Gt[m]:!!rr[s]},ho=function(s,f,m){return f===gt&&!Gt[m]||f===_t&&!Xt[m]?!1:!rr[s]&&(so[s]||!nr[s])},po=function(s){let f=O(s),m=be(I(s)),g=v(s),E=Ne,T="template";return g&&M(g)===U.element&&(E=O(g),T=be(I(g))),er[f]?f===gt?lo(m,E,T):f===_t?fo(m,E,T):f===ue?ho(m,E,T):Oe==="application/xhtml+xml":!1},Ae=function(s){Ge(t.removed,{element:s}),ur(s);try{v(s).removeChild(s)}catch{if(_(s),!v(s))throw fe("a node selected for removal could not be detached from its tree and cannot be safely returned; refusing to sanitize in place")}},ir=function(s,f,m){try{S(s,f)}catch{try{s.removeAttribute(m)}catch{}}},mo=function(s){Kt(s);let f=D(s);f&&ie(br(f),m=>{try{d(s,m)}catch{}}),M(s)===U.element&&Yt(s,!1)},Be=function(s,f,m){if(!m)try{m=f.getAttributeNode(s)}catch{m=null}if(Ge(t.removed,{attribute:m||null,from:f}),m)ir(f,m,s);else try{f.removeAttribute(s)}catch{}if(s==="is")if(Le||mt)try{Ae(f)}catch{}else try{f.setAttribute(s,"")}catch{}},Yt=function(s,f){let m=A(s);if(m)for(let g=m.length-1;g>=0;--g){let E=m[g],T=E&&E.name;typeof T=="string"&&!(f&&W[Z(T)])&&ir(s,E,T)}},Vt=function(s,f){let m=arguments.length>2&&arguments[2]!==void 0?arguments[2]:!1,g=[s];for(;g.length>0;){let E=g.pop();if(f(E)===!1)continue;if(m&&M(E)===U.element){let F=x(E);ze(F)&&g.push(F)}let T=D(E);if(T)for(let F=T.length-1;F>=0;--F)g.push(T[F])}},Kt=function(s){Vt(s,f=>{M(f)===U.element&&Yt(f,!0)})},Qt=function(s){let f=[];return Vt(s,m=>{f.push(m)},!0),f},_o=function(s,f){let m=cn();ie(Qt(s),g=>{M(g)===U.element&&ln(m,g)}),ie(f,g=>{M(g)===U.element&&!Ye(m,g)&&Yt(g,!0)})},or=function(s,f){let m=!1;return ie(t.removed,g=>{g.element&&(m=m||g.element===s,Kt(g.element))}),_o(s,f),m},en=function(s,f){mo(s),or(s,f)},sr=8,go=function(s,f){let m=_e,g=null,E=()=>(g||(g=cn(),ie(f,T=>{ln(g,T)})),g);for(let T=0;;T++){let F=Qt(s),B=[s],ge=!1;if(ie(F,ce=>{M(ce)===U.documentFragment?Ge(B,ce):!ge&&!Ye(m,ce)&&(ge=Ye(E(),ce))}),!ge)return;if(T>=sr)throw fe("the tree kept changing during in-place sanitization; refusing to return it");ie(B,(ce,le)=>{bo(ce,le>0,s,E())})}},bo=function(s,f,m,g){let E=At(s),T;for(;T=E.nextNode();)!Ye(g,T)||Ye(_e,T)||(f&&ae(q.uponSanitizeShadowNode,T,null),rn(T,m))},Ro=function(s){if(!_e)return;ln(_e,s);let f=Rr(ye,s);if(f!==void 0){if(f>=sr)throw fe("the tree kept changing during in-place sanitization; refusing to return it");Ar(ye,s,f+1)}},ur=function(s){_e&&(Xo(_e,s),Rr(ye,s)===void 0&&Ar(ye,s,0))},ar=function(s,f){return ve?s==="patchsrc"?!0:s==="for"&&f!=="label"&&f!=="output":!1},Ao=function(s){ve&&Vt(s,f=>{let m=M(f);if(m===U.processingInstruction||m===U.comment&&G(gs,f.data)){try{_(f)}catch{}return!1}if(m===U.element){let g=f,E=Z(I(f));try{g.hasAttribute&&g.hasAttribute("patchsrc")&&g.removeAttribute("patchsrc"),g.hasAttribute&&g.hasAttribute("for")&&ar("for",E)&&g.removeAttribute("for")}catch{}}return!0})},cr=function(s){let f=null,m=null;if(Wt)s="<remove></remove>"+s;else{let T=Yo(s,ks);m=T&&T[0]}Oe==="application/xhtml+xml"&&Ne===ue&&(s='<html xmlns="http://www.w3.org/1999/xhtml"><head></head><body>'+s+"</body></html>");let g=j?We(s):s;if(Ne===ue)try{f=new l().parseFromString(g,Oe)}catch{}if(!f||!f.documentElement){f=zt.createDocument(Ne,"template",null);try{f.documentElement.innerHTML=Zt?V:g}catch{}}let E=f.body||f.documentElement;return s&&m&&E.insertBefore(n.createTextNode(m),E.childNodes[0]||null),Ne===ue?qi.call(f,we?"html":"body")[0]:we?f.documentElement:E},At=function(s){let f=arguments.length>1&&arguments[1]!==void 0?arguments[1]:!1,m=L?L(s):s.ownerDocument;return Hi.call(m||s,s,(f?0:c.SHOW_ELEMENT)|c.SHOW_COMMENT|c.SHOW_TEXT|c.SHOW_PROCESSING_INSTRUCTION|c.SHOW_CDATA_SECTION,null)},kt=function(s){return s=Ve(s,Xi," "),s=Ve(s,Gi," "),s=Ve(s,Yi," "),s},tn=function(s){var f;nn(s);let m=(f=s.querySelectorAll)===null||f===void 0?void 0:f.call(s,"template");m&&ie(m,g=>{ze(g.content)&&tn(g.content)})},ko="table,tbody,thead,tfoot,tr,colgroup",xo=N({},["caption","colgroup","col","thead","tbody","tfoot","tr","td","th","style","script","template"]),Eo=function(s){var f;if(Oe==="application/xhtml+xml")return;let m=(f=s.querySelectorAll)===null||f===void 0?void 0:f.call(s,ko);!m||m.length===0||ie(m,g=>{ie(br(D(g)),E=>{let T=M(E);if(!(T===U.text?G(ls,E.data):T===U.element&&!xo[be(I(E))]))return;let F=g;for(;F&&be(I(F))!=="table";)F=F===s?null:v(F);let B=F&&F!==s?v(F):null;if(B)try{B.insertBefore(E,F)}catch{}})})},nn=function(s){Eo(s),s.normalize();let f=At(s,!0),m=null,g=f.nextNode();for(;g;){let E=g.data;if(G(yr,E)&&(E=Ve(E,yr,""),g.data=E),G(wr,E)&&(E=kt(E),g.data=E),E&&M(g)===U.text){if(m){let T=m.data,F=T[T.length-1]+E[0];G(wr,F)&&(m.data=kt(T+E[0]))}m=g}g=f.nextNode()}},xt=function(s){let f=y?y(s):null;return typeof f!="string"||Z(f)!=="form"?!1:typeof s.nodeName!="string"||typeof s.textContent!="string"||typeof s.removeChild!="function"||s.attributes!==A(s)||typeof s.removeAttribute!="function"||typeof s.removeAttributeNode!="function"||typeof s.getAttributeNode!="function"||typeof s.setAttribute!="function"||typeof s.namespaceURI!="string"||typeof s.insertBefore!="function"||typeof s.hasChildNodes!="function"||s.nodeType!==C(s)||s.childNodes!==D(s)},lr=function(s){if(!C||typeof s!="object"||s===null)return null;try{let f=C(s);return typeof f=="number"?f:null}catch{return null}},ze=function(s){return lr(s)===U.documentFragment},qe=function(s){return lr(s)!==null};function ae(R,s,f){R.length!==0&&ie(R,m=>{m.call(t,s,f,$e)})}let Co=function(s,f){let m=!!Cs[f],g=!!xs[f];return!m&&!g&&!Es[f]||O(s)!==ue?!1:m?s.hasChildNodes():qe(s.firstElementChild)?!0:g&&typeof s.textContent=="string"&&G(gn,s.textContent)},Do=function(s,f,m){return!!(ve&&m===U.element&&s.hasChildNodes()&&!qe(s.firstElementChild)&&G(gn,s.textContent)&&G(gn,s.innerHTML)||ve&&m===U.element&&Co(s,f)||m===U.processingInstruction||ve&&m===U.comment&&G(bs,s.data))},Et=function(s,f){if(s instanceof RegExp)return G(s,f);if(s instanceof Function){for(var m=arguments.length,g=new Array(m>2?m-2:0),E=2;E<m;E++)g[E-2]=arguments[E];return!!s(f,...g)}return!1},vo=function(s,f,m){if(!He[f]&&dr(f)&&Et(se.tagNameCheck,f))return!1;if($t&&!Te[f]&&!Te[be(f)]){let g=v(s),E=D(s);if(E&&g){let T=E.length;for(let F=T-1;F>=0;--F){let B=s===m?b(E[F],!0):E[F];g.insertBefore(B,k(s))}}}return Ae(s),!0},fr=function(s,f,m,g){return s.length===0?f:f===m||f===g?Qe(f):f},Ze=function(s,f){return s===f||v(s)!==null?!1:(qt&&Kt(s),ur(s),!0)},wo=function(s,f){if(Ro(s),ae(q.beforeSanitizeElements,s,null),Ze(s,f))return!0;if(xt(s))return Ae(s),!0;let m=Z(I(s)),g=M(s);if(J=fr(q.uponSanitizeElement,J,Pt,dt),ae(q.uponSanitizeElement,s,{tagName:m,allowedTags:J}),Ze(s,f))return!0;if(Do(s,m,g))return Ae(s),!0;if((He[m]||!(Re.tagCheck instanceof Function&&Re.tagCheck(m))&&!J[m])&&vo(s,m,f))return!0;if(g===U.element&&!po(s)||(m==="noscript"||m==="noembed"||m==="noframes")&&G(Rs,s.innerHTML))return Ae(s),!0;if(me&&g===U.text){let E=s.textContent,T=kt(E);E!==T&&(Ge(t.removed,{element:s.cloneNode()}),s.textContent=T)}return ae(q.afterSanitizeElements,s,null),Ze(s,f)},hr=function(s,f,m){if(Wn[f]||ar(f,s)||qn&&(f==="id"||f==="name")&&(m in n||m in co))return!1;let g=W[f]||Re.attributeCheck instanceof Function&&Re.attributeCheck(f,s);if(Ut&&G(Vi,f)||Hn&&G(Ki,f))return!0;if(!g)return dr(s)&&Et(se.tagNameCheck,s)&&Et(se.attributeNameCheck,f,s)||f==="is"&&se.allowCustomizedBuiltInElements&&Et(se.tagNameCheck,m);if(Kn[f])return!0;let E=Ve(m,eo,"");return G(Jn,E)||(f==="src"||f==="xlink:href"||f==="href")&&s!=="script"&&hn(m,"data:")===0&&Yn[s]||$n&&!G(Qi,E)?!0:!m},yo=N({},["annotation-xml","color-profile","font-face","font-face-format","font-face-name","font-face-src","font-face-uri","missing-glyph"]),dr=function(s){return!yo[be(s)]&&G(to,s)},To=function(s,f,m,g){if(j&&typeof p=="object"&&typeof p.getAttributeType=="function"&&!m)switch(p.getAttributeType(s,f)){case"TrustedHTML":return We(g);case"TrustedScriptURL":return Ji(g)}return g},Fo=function(s,f,m,g){try{return m?s.setAttributeNS(m,f,g):s.setAttribute(f,g),xt(s)?(Ae(s),!1):!0}catch{return Be(f,s),!1}},pr=function(s,f){return ve&&G(As,f)?!0:be(s)==="attributename"&&hn(f,"href")!==-1},So=function(s,f){if(ae(q.beforeSanitizeAttributes,s,null),Ze(s,f))return;let m=Q(s);if(!m||xt(s))return;W=fr(q.uponSanitizeAttribute,W,jt,pt);let g={attrName:"",attrValue:"",keepAttr:!0,allowedAttributes:W,forceKeepAttr:void 0},E=m.length,T=Z(I(s));for(;E--;){let F=m[E];if(!F)continue;let B=F.name,ge=F.namespaceURI,ce=F.value,le=Z(B),Fe=ce,X=B==="value"?Fe:Vo(Fe),Xe=!1;if(g.attrName=le,g.attrValue=X,g.keepAttr=!0,g.forceKeepAttr=void 0,ae(q.uponSanitizeAttribute,s,g),X=g.attrValue,Zn&&(le==="id"||le==="name")&&hn(X,Xn)!==0&&(Be(B,s,F),X=Xn+X,Xe=!0),pr(B,X)){Be(B,s,F);continue}if(!g.forceKeepAttr){if(!g.keepAttr){Be(B,s,F);continue}if(!Jt&&G(Fr,X)){Be(B,s,F);continue}if(me&&(X=kt(X)),!hr(T,le,X)){Be(B,s,F);continue}X=To(T,le,ge,X),X!==Fe&&Fo(s,B,ge,X)&&Xe&&gr(t.removed)}}ae(q.afterSanitizeAttributes,s,null),Ze(s,f)},rn=function(s,f){wo(s,f),So(s,f),ze(s.content)&&on(s.content)},on=function(s){let f=null,m=At(s);for(ae(q.beforeSanitizeShadowDOM,s,null);f=m.nextNode();)if(ae(q.uponSanitizeShadowNode,f,null),rn(f,s),M(f)===U.element){let g=x(f);ze(g)&&(sn(g),on(g))}me&&nn(s),ae(q.afterSanitizeShadowDOM,s,null)},sn=function(s){let f=[{node:s,shadow:null}];for(;f.length>0;){let m=f.pop();if(m.shadow){on(m.shadow);continue}let g=m.node,E=M(g)===U.element,T=D(g);if(T)for(let F=T.length-1;F>=0;--F)f.push({node:T[F],shadow:null});if(E){let F=y?y(g):null;if(typeof F=="string"&&Z(F)==="template"){let B=g.content;ze(B)&&f.push({node:B,shadow:null})}}if(E){let F=x(g);ze(F)&&f.push({node:null,shadow:F},{node:F,shadow:null})}}},Io=function(s){let f=arguments.length>1&&arguments[1]!==void 0?arguments[1]:{},m=null,g=null,E=null,T=null;if(Zt=!s,Zt&&(s="<!-->"),typeof s!="string"&&!qe(s)&&(s=ns(s),typeof s!="string"))throw fe("dirty is not a string, aborting");if(!t.isSupported)return s;ht?(J=dt,W=pt):Rt(f),bt=$e,t.removed=[];let F=qt&&typeof s!="string"&&qe(s),B=[],ge=_e,ce=ye;if(F){Ao(s),B=Qt(s);let X=I(s);if(typeof X=="string"){let Xe=Z(X);if(!J[Xe]||He[Xe])throw en(s,B),fe("root node is forbidden and cannot be sanitized in-place")}if(xt(s))throw en(s,B),fe("root node is clobbered and cannot be sanitized in-place");_e=cn(),ye=Go()}else if(qe(s))m=cr("<!---->"),g=m.ownerDocument.importNode(s,!0),g.nodeType===U.element&&g.nodeName==="BODY"||g.nodeName==="HTML"?m=g:m.appendChild(g),sn(m);else{if(!Le&&!me&&!we&&s.indexOf("<")===-1)return Un(s);if(m=cr(s),!m)return Le?null:Ht?V:""}m&&Wt&&Ae(m.firstChild);let le=F?s:m;try{F&&sn(s);let X=At(le);for(;E=X.nextNode();)rn(E,le);F&&go(s,B)}catch(X){throw F&&en(s,B),X}finally{_e=ge,ye=ce}if(F){if(or(s,B))throw fe("a node selected for removal could not be safely returned; refusing to sanitize in place");return me&&tn(s),s}if(Le){if(me&&tn(m),mt)for(T=$i.call(m.ownerDocument);m.firstChild;)T.appendChild(m.firstChild);else T=m;return(W.shadowroot||W.shadowrootmode)&&(T=Zi.call(i,T,!0)),T}me&&nn(m);let Fe=we?m.outerHTML:m.innerHTML;return we&&J["!doctype"]&&m.ownerDocument&&m.ownerDocument.doctype&&m.ownerDocument.doctype.name&&G(ms,m.ownerDocument.doctype.name)&&(Fe="<!DOCTYPE "+m.ownerDocument.doctype.name+`>
`+Fe),Un(Fe)};return t.sanitize=function(R){let s=arguments.length>1&&arguments[1]!==void 0?arguments[1]:{},f=bt,m=J,g=W,E=t.removed;bt=null;try{return Io(R,s)}finally{bt=f,f&&(ht||Rt(f),J=m,W=g,t.removed=E)}},t.setConfig=function(){let R=arguments.length>0&&arguments[0]!==void 0?arguments[0]:{};Rt(R),ht=!0,dt=J,pt=W},t.clearConfig=function(){$e=null,ht=!1,dt=null,pt=null,j=ee,V=""},t.isValidAttribute=function(R,s,f){$e||Rt({});let m=Z(R),g=Z(s);return typeof f=="string"&&(pr(s,f)||!Jt&&G(Fr,f))?!1:hr(m,g,f)},t.addHook=function(R,s){typeof s=="function"&&ne(q,R)&&Ge(q[R],s)},t.removeHook=function(R,s){if(ne(q,R)){if(s!==void 0){let f=qo(q[R],s);return f===-1?void 0:Zo(q[R],f,1)[0]}return gr(q[R])}},t.removeHooks=function(R){ne(q,R)&&(q[R]=[])},t.removeAllHooks=function(){q=Sr()},t}var Br=Or();var kn={};an(kn,{decode:()=>et,encode:()=>Ee,format:()=>je,parse:()=>tt});var zr={};function ws(e){let t=zr[e];if(t)return t;t=zr[e]=[];for(let n=0;n<128;n++){let i=String.fromCharCode(n);t.push(i)}for(let n=0;n<e.length;n++){let i=e.charCodeAt(n);t[i]="%"+("0"+i.toString(16).toUpperCase()).slice(-2)}return t}function yt(e,t){typeof t!="string"&&(t=yt.defaultChars);let n=ws(t);return e.replace(/(%[a-f0-9]{2})+/gi,function(i){let r="";for(let o=0,u=i.length;o<u;o+=3){let a=parseInt(i.slice(o+1,o+3),16);if(a<128){r+=n[a];continue}if((a&224)===192&&o+3<u){let c=parseInt(i.slice(o+4,o+6),16);if((c&192)===128){let l=a<<6&1984|c&63;l<128?r+="��":r+=String.fromCharCode(l),o+=3;continue}}if((a&240)===224&&o+6<u){let c=parseInt(i.slice(o+4,o+6),16),l=parseInt(i.slice(o+7,o+9),16);if((c&192)===128&&(l&192)===128){let p=a<<12&61440|c<<6&4032|l&63;p<2048||p>=55296&&p<=57343?r+="���":r+=String.fromCharCode(p),o+=6;continue}}if((a&248)===240&&o+9<u){let c=parseInt(i.slice(o+4,o+6),16),l=parseInt(i.slice(o+7,o+9),16),p=parseInt(i.slice(o+10,o+12),16);if((c&192)===128&&(l&192)===128&&(p&192)===128){let h=a<<18&1835008|c<<12&258048|l<<6&4032|p&63;h<65536||h>1114111?r+="����":(h-=65536,r+=String.fromCharCode(55296+(h>>10),56320+(h&1023))),o+=9;continue}}r+="�"}return r})}yt.defaultChars=";/?:@&=+$,#";yt.componentChars="";var et=yt;var Pr={};function ys(e){let t=Pr[e];if(t)return t;t=Pr[e]=[];for(let n=0;n<128;n++){let i=String.fromCharCode(n);/^[0-9a-z]$/i.test(i)?t.push(i):t.push("%"+("0"+n.toString(16).toUpperCase()).slice(-2))}for(let n=0;n<e.length;n++)t[e.charCodeAt(n)]=e[n];return t}function Tt(e,t,n){typeof t!="string"&&(n=t,t=Tt.defaultChars),typeof n>"u"&&(n=!0);let i=ys(t),r="";for(let o=0,u=e.length;o<u;o++){let a=e.charCodeAt(o);if(n&&a===37&&o+2<u&&/^[0-9a-f]{2}$/i.test(e.slice(o+1,o+3))){r+=e.slice(o,o+3),o+=2;continue}if(a<128){r+=i[a];continue}if(a>=55296&&a<=57343){if(a>=55296&&a<=56319&&o+1<u){let c=e.charCodeAt(o+1);if(c>=56320&&c<=57343){r+=encodeURIComponent(e[o]+e[o+1]),o++;continue}}r+="%EF%BF%BD";continue}r+=encodeURIComponent(e[o])}return r}Tt.defaultChars=";/?:@&=+$,-_.!~*'()#";Tt.componentChars="-_.!~*'()";var Ee=Tt;function je(e){let t="";return t+=e.protocol||"",t+=e.slashes?"//":"",t+=e.auth?e.auth+"@":"",e.hostname&&e.hostname.indexOf(":")!==-1?t+="["+e.hostname+"]":t+=e.hostname||"",t+=e.port?":"+e.port:"",t+=e.pathname||"",t+=e.search||"",t+=e.hash||"",t}function Ft(){this.protocol=null,this.slashes=null,this.auth=null,this.port=null,this.hostname=null,this.hash=null,this.search=null,this.pathname=null}var Ts=/^([a-z0-9.+-]+:)/i,Fs=/:[0-9]*$/,Ss=/^(\/\/?(?!\/)[^\?\s]*)(\?[^\s]*)?$/,Is=["<",">",'"',"`"," ","\r",`
`,"	"],Ls=["{","}","|","\\","^","`"].concat(Is),Ms=["'"].concat(Ls),jr=["%","/","?",";","#"].concat(Ms),Ur=["/","?","#"],Ns=255,Jr=/^[+a-z0-9A-Z_-]{0,63}$/,Os=/^([+a-z0-9A-Z_-]{0,63})(.*)$/,Wr={javascript:!0,"javascript:":!0},Hr={http:!0,https:!0,ftp:!0,gopher:!0,file:!0,"http:":!0,"https:":!0,"ftp:":!0,"gopher:":!0,"file:":!0};function Bs(e,t){if(e&&e instanceof Ft)return e;let n=new Ft;return n.parse(e,t),n}Ft.prototype.parse=function(e,t){let n,i,r,o=e;if(o=o.trim(),!t&&e.split("#").length===1){let l=Ss.exec(o);if(l)return this.pathname=l[1],l[2]&&(this.search=l[2]),this}let u=Ts.exec(o);if(u&&(u=u[0],n=u.toLowerCase(),this.protocol=u,o=o.substr(u.length)),(t||u||o.match(/^\/\/[^@\/]+@[^@\/]+/))&&(r=o.substr(0,2)==="//",r&&!(u&&Wr[u])&&(o=o.substr(2),this.slashes=!0)),!Wr[u]&&(r||u&&!Hr[u])){let l=-1;for(let d=0;d<Ur.length;d++)i=o.indexOf(Ur[d]),i!==-1&&(l===-1||i<l)&&(l=i);let p,h;l===-1?h=o.lastIndexOf("@"):h=o.lastIndexOf("@",l),h!==-1&&(p=o.slice(0,h),o=o.slice(h+1),this.auth=p),l=-1;for(let d=0;d<jr.length;d++)i=o.indexOf(jr[d]),i!==-1&&(l===-1||i<l)&&(l=i);l===-1&&(l=o.length),o[l-1]===":"&&l--;let b=o.slice(0,l);o=o.slice(l),this.parseHost(b),this.hostname=this.hostname||"";let _=this.hostname[0]==="["&&this.hostname[this.hostname.length-1]==="]";if(!_){let d=this.hostname.split(/\./);for(let S=0,k=d.length;S<k;S++){let D=d[S];if(D&&!D.match(Jr)){let v="";for(let x=0,A=D.length;x<A;x++)D.charCodeAt(x)>127?v+="x":v+=D[x];if(!v.match(Jr)){let x=d.slice(0,S),A=d.slice(S+1),C=D.match(Os);C&&(x.push(C[1]),A.unshift(C[2])),A.length&&(o=A.join(".")+o),this.hostname=x.join(".");break}}}}this.hostname.length>Ns&&(this.hostname=""),_&&(this.hostname=this.hostname.substr(1,this.hostname.length-2))}let a=o.indexOf("#");a!==-1&&(this.hash=o.substr(a),o=o.slice(0,a));let c=o.indexOf("?");return c!==-1&&(this.search=o.substr(c),o=o.slice(0,c)),o&&(this.pathname=o),Hr[n]&&this.hostname&&!this.pathname&&(this.pathname=""),this};Ft.prototype.parseHost=function(e){let t=Fs.exec(e);t&&(t=t[0],t!==":"&&(this.port=t.substr(1)),e=e.substr(0,e.length-t.length)),e&&(this.hostname=e)};var tt=Bs;var vn={};an(vn,{Any:()=>xn,Cc:()=>En,Cf:()=>zs,P:()=>nt,S:()=>Cn,Z:()=>Dn});var xn=/[\0-\uD7FF\uE000-\uFFFF]|[\uD800-\uDBFF][\uDC00-\uDFFF]|[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?:[^\uD800-\uDBFF]|^)[\uDC00-\uDFFF]/,En=/[\0-\x1F\x7F-\x9F]/,zs=/[\xAD\u0600-\u0605\u061C\u06DD\u070F\u0890\u0891\u08E2\u180E\u200B-\u200F\u202A-\u202E\u2060-\u2064\u2066-\u206F\uFEFF\uFFF9-\uFFFB]|\uD804[\uDCBD\uDCCD]|\uD80D[\uDC30-\uDC3F]|\uD82F[\uDCA0-\uDCA3]|\uD834[\uDD73-\uDD7A]|\uDB40[\uDC01\uDC20-\uDC7F]/,nt=/[!-#%-\*,-\/:;\?@\[-\]_\{\}\xA1\xA7\xAB\xB6\xB7\xBB\xBF\u037E\u0387\u055A-\u055F\u0589\u058A\u05BE\u05C0\u05C3\u05C6\u05F3\u05F4\u0609\u060A\u060C\u060D\u061B\u061D-\u061F\u066A-\u066D\u06D4\u0700-\u070D\u07F7-\u07F9\u0830-\u083E\u085E\u0964\u0965\u0970\u09FD\u0A76\u0AF0\u0C77\u0C84\u0DF4\u0E4F\u0E5A\u0E5B\u0F04-\u0F12\u0F14\u0F3A-\u0F3D\u0F85\u0FD0-\u0FD4\u0FD9\u0FDA\u104A-\u104F\u10FB\u1360-\u1368\u1400\u166E\u169B\u169C\u16EB-\u16ED\u1735\u1736\u17D4-\u17D6\u17D8-\u17DA\u1800-\u180A\u1944\u1945\u1A1E\u1A1F\u1AA0-\u1AA6\u1AA8-\u1AAD\u1B4E\u1B4F\u1B5A-\u1B60\u1B7D-\u1B7F\u1BFC-\u1BFF\u1C3B-\u1C3F\u1C7E\u1C7F\u1CC0-\u1CC7\u1CD3\u2010-\u2027\u2030-\u2043\u2045-\u2051\u2053-\u205E\u207D\u207E\u208D\u208E\u2308-\u230B\u2329\u232A\u2768-\u2775\u27C5\u27C6\u27E6-\u27EF\u2983-\u2998\u29D8-\u29DB\u29FC\u29FD\u2CF9-\u2CFC\u2CFE\u2CFF\u2D70\u2E00-\u2E2E\u2E30-\u2E4F\u2E52-\u2E5D\u3001-\u3003\u3008-\u3011\u3014-\u301F\u3030\u303D\u30A0\u30FB\uA4FE\uA4FF\uA60D-\uA60F\uA673\uA67E\uA6F2-\uA6F7\uA874-\uA877\uA8CE\uA8CF\uA8F8-\uA8FA\uA8FC\uA92E\uA92F\uA95F\uA9C1-\uA9CD\uA9DE\uA9DF\uAA5C-\uAA5F\uAADE\uAADF\uAAF0\uAAF1\uABEB\uFD3E\uFD3F\uFE10-\uFE19\uFE30-\uFE52\uFE54-\uFE61\uFE63\uFE68\uFE6A\uFE6B\uFF01-\uFF03\uFF05-\uFF0A\uFF0C-\uFF0F\uFF1A\uFF1B\uFF1F\uFF20\uFF3B-\uFF3D\uFF3F\uFF5B\uFF5D\uFF5F-\uFF65]|\uD800[\uDD00-\uDD02\uDF9F\uDFD0]|\uD801\uDD6F|\uD802[\uDC57\uDD1F\uDD3F\uDE50-\uDE58\uDE7F\uDEF0-\uDEF6\uDF39-\uDF3F\uDF99-\uDF9C]|\uD803[\uDD6E\uDEAD\uDED0\uDF55-\uDF59\uDF86-\uDF89]|\uD804[\uDC47-\uDC4D\uDCBB\uDCBC\uDCBE-\uDCC1\uDD40-\uDD43\uDD74\uDD75\uDDC5-\uDDC8\uDDCD\uDDDB\uDDDD-\uDDDF\uDE38-\uDE3D\uDEA9\uDFD4\uDFD5\uDFD7\uDFD8]|\uD805[\uDC4B-\uDC4F\uDC5A\uDC5B\uDC5D\uDCC6\uDDC1-\uDDD7\uDE41-\uDE43\uDE60-\uDE6C\uDEB9\uDF3C-\uDF3E]|\uD806[\uDC3B\uDD44-\uDD46\uDDE2\uDE3F-\uDE46\uDE9A-\uDE9C\uDE9E-\uDEA2\uDF00-\uDF09\uDFE1]|\uD807[\uDC41-\uDC45\uDC70\uDC71\uDEF7\uDEF8\uDF43-\uDF4F\uDFFF]|\uD809[\uDC70-\uDC74]|\uD80B[\uDFF1\uDFF2]|\uD81A[\uDE6E\uDE6F\uDEF5\uDF37-\uDF3B\uDF44]|\uD81B[\uDD6D-\uDD6F\uDE97-\uDE9A\uDFE2]|\uD82F\uDC9F|\uD836[\uDE87-\uDE8B]|\uD839\uDDFF|\uD83A[\uDD5E\uDD5F]/,Cn=/[\$\+<->\^`\|~\xA2-\xA6\xA8\xA9\xAC\xAE-\xB1\xB4\xB8\xD7\xF7\u02C2-\u02C5\u02D2-\u02DF\u02E5-\u02EB\u02ED\u02EF-\u02FF\u0375\u0384\u0385\u03F6\u0482\u058D-\u058F\u0606-\u0608\u060B\u060E\u060F\u06DE\u06E9\u06FD\u06FE\u07F6\u07FE\u07FF\u0888\u09F2\u09F3\u09FA\u09FB\u0AF1\u0B70\u0BF3-\u0BFA\u0C7F\u0D4F\u0D79\u0E3F\u0F01-\u0F03\u0F13\u0F15-\u0F17\u0F1A-\u0F1F\u0F34\u0F36\u0F38\u0FBE-\u0FC5\u0FC7-\u0FCC\u0FCE\u0FCF\u0FD5-\u0FD8\u109E\u109F\u1390-\u1399\u166D\u17DB\u1940\u19DE-\u19FF\u1B61-\u1B6A\u1B74-\u1B7C\u1FBD\u1FBF-\u1FC1\u1FCD-\u1FCF\u1FDD-\u1FDF\u1FED-\u1FEF\u1FFD\u1FFE\u2044\u2052\u207A-\u207C\u208A-\u208C\u20A0-\u20C1\u2100\u2101\u2103-\u2106\u2108\u2109\u2114\u2116-\u2118\u211E-\u2123\u2125\u2127\u2129\u212E\u213A\u213B\u2140-\u2144\u214A-\u214D\u214F\u218A\u218B\u2190-\u2307\u230C-\u2328\u232B-\u2429\u2440-\u244A\u249C-\u24E9\u2500-\u2767\u2794-\u27C4\u27C7-\u27E5\u27F0-\u2982\u2999-\u29D7\u29DC-\u29FB\u29FE-\u2B73\u2B76-\u2BFF\u2CE5-\u2CEA\u2E50\u2E51\u2E80-\u2E99\u2E9B-\u2EF3\u2F00-\u2FD5\u2FF0-\u2FFF\u3004\u3012\u3013\u3020\u3036\u3037\u303E\u303F\u309B\u309C\u3190\u3191\u3196-\u319F\u31C0-\u31E5\u31EF\u3200-\u321E\u322A-\u3247\u3250\u3260-\u327F\u328A-\u32B0\u32C0-\u33FF\u4DC0-\u4DFF\uA490-\uA4C6\uA700-\uA716\uA720\uA721\uA789\uA78A\uA828-\uA82B\uA836-\uA839\uAA77-\uAA79\uAB5B\uAB6A\uAB6B\uFB29\uFBB2-\uFBD2\uFD40-\uFD4F\uFD90\uFD91\uFDC8-\uFDCF\uFDFC-\uFDFF\uFE62\uFE64-\uFE66\uFE69\uFF04\uFF0B\uFF1C-\uFF1E\uFF3E\uFF40\uFF5C\uFF5E\uFFE0-\uFFE6\uFFE8-\uFFEE\uFFFC\uFFFD]|\uD800[\uDD37-\uDD3F\uDD79-\uDD89\uDD8C-\uDD8E\uDD90-\uDD9C\uDDA0\uDDD0-\uDDFC]|\uD802[\uDC77\uDC78\uDEC8]|\uD803[\uDD8E\uDD8F\uDED1-\uDED8]|\uD805\uDF3F|\uD807[\uDFD5-\uDFF1]|\uD81A[\uDF3C-\uDF3F\uDF45]|\uD82F\uDC9C|\uD833[\uDC00-\uDCEF\uDCFA-\uDCFC\uDD00-\uDEB3\uDEBA-\uDED0\uDEE0-\uDEF0\uDF50-\uDFC3]|\uD834[\uDC00-\uDCF5\uDD00-\uDD26\uDD29-\uDD64\uDD6A-\uDD6C\uDD83\uDD84\uDD8C-\uDDA9\uDDAE-\uDDEA\uDE00-\uDE41\uDE45\uDF00-\uDF56]|\uD835[\uDEC1\uDEDB\uDEFB\uDF15\uDF35\uDF4F\uDF6F\uDF89\uDFA9\uDFC3]|\uD836[\uDC00-\uDDFF\uDE37-\uDE3A\uDE6D-\uDE74\uDE76-\uDE83\uDE85\uDE86]|\uD838[\uDD4F\uDEFF]|\uD83B[\uDCAC\uDCB0\uDD2E\uDEF0\uDEF1]|\uD83C[\uDC00-\uDC2B\uDC30-\uDC93\uDCA0-\uDCAE\uDCB1-\uDCBF\uDCC1-\uDCCF\uDCD1-\uDCF5\uDD0D-\uDDAD\uDDE6-\uDE02\uDE10-\uDE3B\uDE40-\uDE48\uDE50\uDE51\uDE60-\uDE65\uDF00-\uDFFF]|\uD83D[\uDC00-\uDED8\uDEDC-\uDEEC\uDEF0-\uDEFC\uDF00-\uDFD9\uDFE0-\uDFEB\uDFF0]|\uD83E[\uDC00-\uDC0B\uDC10-\uDC47\uDC50-\uDC59\uDC60-\uDC87\uDC90-\uDCAD\uDCB0-\uDCBB\uDCC0\uDCC1\uDCD0-\uDCD8\uDD00-\uDE57\uDE60-\uDE6D\uDE70-\uDE7C\uDE80-\uDE8A\uDE8E-\uDEC6\uDEC8\uDECD-\uDEDC\uDEDF-\uDEEA\uDEEF-\uDEF8\uDF00-\uDF92\uDF94-\uDFEF\uDFFA]/,Dn=/[ \xA0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000]/;var Ps=[8364,0,8218,402,8222,8230,8224,8225,710,8240,352,8249,338,0,381,0,0,8216,8217,8220,8221,8226,8211,8212,732,8482,353,8250,339,0,382,376];function js(e){return e===0||e>=55296&&e<=57343||e>1114111}function $r(e){return js(e)?65533:e>=128&&e<=159&&Ps[e-128]||e}function qr(e){return e-1>>>0<127||e-160>>>0<55136?String.fromCharCode(e):String.fromCodePoint($r(e))}var oe=(()=>{let e=new Uint8Array(127),t=0;for(let n=33;n<=126;n++)n!==34&&n!==36&&n!==92&&(e[n]=t++);return e})();function Zr(e,t,n,i,r,o){let a=e.length,c=o*90,l=0,p=()=>{let I=oe[e.charCodeAt(l++)];return I<o?I:I*91-c+oe[e.charCodeAt(l++)]},h=n-i,b=n+r,_=new Int32Array(b);_.fill(-1,i,o),_.fill(-1,o+h,b);let d=new Int32Array(b),S=new Int32Array(b);function k(I,H){let O=0,Q=H,j=H+I;for(;Q<j;){let V=oe[e.charCodeAt(l++)];if(V<89)O+=V,_[Q++]=O;else if(V===89){let ee=oe[e.charCodeAt(l++)]+2;for(;ee--;)_[Q++]=++O}else{let ee=oe[e.charCodeAt(l++)];O+=89+(ee<90?ee*91+oe[e.charCodeAt(l++)]:oe[e.charCodeAt(l++)]*8281+oe[e.charCodeAt(l++)]*91+oe[e.charCodeAt(l++)]),_[Q++]=O}}}k(i,0),k(h,o);let D=new Int32Array(r*2),v=0,x=0;function A(I,H){for(let O=0;O<I;O++){let Q=H+O,j=p(),V=p();D[x*2]=j,D[x*2+1]=V,x+=1,d[Q]=v;let ee=(_[j]<0?S[j]:1)+(_[V]<0?S[V]:1);S[Q]=ee,v+=ee}}A(r-o+i,o+h),A(o-i,i);let C=new Uint16Array(v),y=0;for(let I=0;I<x;I++)for(let H=0;H<2;H++){let O=D[I*2+H],Q=_[O];if(Q<0){let j=d[O],V=j+S[O];for(;j<V;)C[y++]=C[j++]}else C[y++]=Q}let L=new Uint16Array(t),M=0;for(;l<a;){let I=oe[e.charCodeAt(l++)];I>=o&&(I=I*91-c+oe[e.charCodeAt(l++)]);let H=_[I];if(H<0){let O=d[I],Q=O+S[I];for(;O<Q;)L[M++]=C[O++]}else L[M++]=H}return L}var Xr=Zr("!}.&u%}'&}*'~!6*)%&,~!J~!J~%L~y<~!R,~~%Lu~~#GD~~#|)1#%}^%}2%+#.##%##%}&%##%'#%##&%#%#'%#&#%#&#'#%%#&#%##%#)%''%&%#%#'%#%%#%%}%%%#%#&(23#%%#&-%0%('1#(##%#'##+%'*.:1}#%#6-+(%'%%#%%%}#L'2351&('%}&/N'(0(/*-%(%%}#'+&T%7.2}#&%&#%#36/5##%&%%#&#%%#))2%%##%&&'0~!#*+&'%1~!%).'3q?&%'1~!.##%6(~!+%%%(Gw'rT~!E#<nA%#jZ~!H%(~!42##~!*31&~!G%U~#)5~#`3~!J~!Z~%]~%Y~%C~!q~!u~#kz~%#~!6'~!D~!U~!?~#T~!c%~!G#'~%7|~!G~!J~!G&~#pb~(Df}#%}*&}#%##%##%##&#-}&'#'&%#.++}%mI,#,@&(}*%}*'%&##&#%##%}&0}#.},U},%}+%}&%}#%##&}B%(}(%}+%)})%##%#&}&%##%&}<%}>%#%&}*%}(%}9%}/%})%}*%}*%}?&}&%}3%}&*#%})%#%#)}#&#-#+*%E%%'%'#%}#*V##&##I}#&&##%&%#&&Qf%%))w/0+&%#(#.%-''''++++7}>%4'',##1,#%#&%##&#'##&#*#9)%&%}#*}%,#+P(%A&%#'&##wSD',9E00#y#@}(+}&%&>~!#~!X}#*}(&&}(&}(,%}%&#+&}#&}I%#%}%)#(},'%#*}4%%#%}(''}#/##(##),%-##%%)#&}(.}&%#&}%%}*&#%},&&}&%}#%*'#%})%}D&}&%}-&}6&#&}-,%}#%})-(~+`~,=?~I9'9%~!,#%})%})%}@%}?%}(~!?~#<~#pP~#BG~#=1#%K+~#?#~%;)~#A~#mF1~#A'~'X%'~#lR~#N~'N~#r~#m#-~#i'?%#'%~#B%##%,%#~#_%#0%~#]732~,w~2+#:&#%&'0%&>%}#>##F+)#%&&#(+_}4&}-%}(&}@&}O7Fdf0@+/v4}&WU##&/0#&'('B#%}.%}'+#%}#%%&#&%#%##+#&#)#6#'#.},%}c%},%#%##%&#&%#&~#>'*-.%##%##%}#%%}%'~#)D1}#%*&~#_%%'(~#S2%'.}#~#=##*'*-%}&'%'##&&~'E%.#&~#M4}%%##&'%#~#O1##%&#'+~#<B%##%%'%+~#;#@%}#&%#&&%#(~#H1}'%'##&&~#?A}&'~#D#%32}'&&&&~#[}'(#%}'~#;C})&}%%#%~#=&%,3}%'(#%%~#^'#&&)#%'~#Y%-~#d-%'~#^%%&#&&&}#~#b~2t*&'~&(~&@~0%~e~3}%*''0})&}+~!9##-}#%-hD*)1fC#%/&/fB#40~!+#)*4~!+~!K'&:~!/*7~!.#~!H~!L':~%x&~!H#~!*~%1~!I#~!+A~#p'~!F~~#-#~,,(~.Z~!V~%;'B'mq-W~!N~%I%#&&#&}#%},%%}'%}+X#%}#&}(%}'%}<%}#%}%%'}'%}:~![)9@~%>~#UA%-%##&~!C%~!-.9:~!1~!-^2/:a~!y,D*J#-5)/4~%23,~#G~!L1~!0X3`~!2+~!!0-~&E~!W~!o,>Y&]~%cZx_&~#O*9#A#'#+I'%#)~!0B*-5A+-((F&*M#)(-7-5+'-3a5Vi~!Y~!?+[)%3),ERHm~!+:D,VG.+)?fB%%*(%)'(#&80%1'8`K8?`+'Z#&O&'H5#*9)A%%5&3))0%39+.*7#()&&*=4@**L)<'_&*+..;(#*+)./&0#3)%')-8(4ixD(&.}%,('aI:,)%,k2231T)I'#/-W7,/'Q#.'Y24+h')37</31&83##&0#),H(?'&?/1##%#&&#%''-%&&&#(&''&#.-'%#%%(,')*'&#&#'##%(%(#%('#&##%%%%('%#%#%%#%#&%##h>w+v<ayvyvcg.uuhKr}g/v|g>u9i[~>g5uI~=RvdwEg;v/g;uk!!TTSx]@RT!U!#!@VBRUU!'UTe-d0c`e&gSdicedFcrdTaqb.kYcAohdYd@a3e+d}dMdtd.aJ#bqcK`dle/e.e'dwdPdodddjbEb}ogd^ofdpduc6j?l%d{drdqc)d7bacOdQ%T#Y)X.sR[yH>6Vyv3[xwLu>vo'!*.[yBacahoj>6Rew3[xqdZa#!a&#^(X-[yG>6Vyu3[xvg3sEr|g.u/Ri9db0T#^(Xa)!-[y;>6Vylg4wKs{JwNZt3@3r=c4Z([xlg;wKt!cpq's@v7A'*a(a+!-a#[y<3Dt?3Dt'>6Vym3[xmg9rxsNJwLZt4~?r?db1T#`-!(Xa,!0[yS>6Vz%NuQs.g4wKtnJwNZtS@3r>c4Z([y%g;wKtrdga8!a(!#&T*Y-Xa#!a0<or[yc3Dtq>6Vz43[y3JwNZtf@3s!Ju}!%Dti:pm3c_%X#tjB5pkd6q!r]u?voC'*-a.a2!0a&a+[yI3DtI3Ds~3DtH>6Vyw3[xx;:s#~<5pKJwNZtE@3r~d`a)!a2T#a.(!+U.X1[yT3Dt`3Dtv>6Vz&3[y&g9rxwzcxstPu.<rAJwLZtT~?r@dZa%!a.&^*Za(/Reu[ya>6Vz23[y1g3sEr}wkg{NuQRg{ci(U#5@b`~,cg#U(2WnH5wugcRh7dX#T(Y,a'Ta!!a,[yZ<]mj>6Vz,3[y+Pv#5ReZKu+=,%!H}7ABwkaS?Rh:BcW(X#<]mrj:ubv/ARekdg%!(!a.*Ta(Y.X1!#sP>Rl*Dt6[y>>6Vyo3Wf*jOvuumvuRgRJuq*!:9<B@bX~3jVv&v@s@5Re[d/rQt{uAvo&a&a*)a2!,0Wf!3Dt0=Bs'>6Re}3[xy~<5s%JwJZt1~Gs)c;&!#2sJkNuXvzq7rxu,Re8dka4!a8(aEZ+a@Y.X1Xa)[yd=Bs(3DtP>6Vz53[y4cX#X&Re:avRe9~<5s&JwJZtQ~Gs*i^rzvdRg+Jv{%!2sbB@bX}kdga,!Za?&^*T1/!a'Dt+[y6>6Vyf3Wf%g/u;s4hGu6?Rh-JvZ,!c%#&RoX54Rivj7uyvf8RgTKvZB%*!2sGh<vu5Rgq<=C::9bb~#dZ#T&Ta6Y.X*Dt>[y93Wf)coZ(T,6VyifluvRgC@95@B@bX~/hFu34cC#T,k/unq8w8Q5RkUklwQuzunq8w8Q5Rk8d/rJu?v8w9)-&!a0a;a&aIWejg3sEr/h1s<DtDJvyZqY5aws3Jvy!&Wei~Hr1:au5@Bag>23E~5c:Z&bX};kKv?w&unuVu5Rjc;>bs)#~@:Rh.=ay<a]C;b`}Vd6s/t{uAvoaxa()!a,a7%-a#a2Dt,[yF2Wo[>6Vyt3[xuNuPRi&NuPwpi#RoWh?vf8Ri%Jv]!%Ri:KvxD!.'2WeAjZu`q9rxu,Re7woeAg-unLq(qA_/*2Wg_g3u5q^9:4E}/jTrxrzv=Wkkd~0UX#^^Xa-a1a5T&a=U1a'*aEa]!a*aPaA-adok[y54Rn>;:p3~Dp5g9rpsFNvZqjg3uJp4~<5p0Pw;5qlJwNZt*@3p1Pw:5p/Ou!5p2JvG'!6Vye=<qnJvh_[xhg3v,Rh3kOwOw-sDuev/Re^dha[a%!%!a+#Ta7)-5TaCaO!aka!a)sf[yb2>Rl!9ARiq5E}Qg=ucRkBE|oJrJ_@Wk~@Wk{JrJ_@Wk|@WkyJrJ_@Wk}@WkzJvO_[y2g-vMRmiKuYC!)&>Ri;>Ri<@3RkNc](X#@9Rk=g5vuRmhKvDB!+'=]meg3u4Rmgd)#Y'Vz3CARmfd`a+!%T'!+#Ta1Ta6TaM-sTDt9[yA9sYd'%Y#s[[xpj:ueunaXRgEjRq,v-vuqdd2'`#6Rev<32@5>:2<E}5xIo9a*X#Y(;5RePJvD_g>vyRgNj8w)v8<wggs:RgXiZt|vjx,hSq3ah!-(~@:Ro/Ou!5RhWj^v(pyw8unRhUdx-UY#^Ua.a3a70!)%UX1TaDa)'omRiRRhE[y:3Dsz=Br,>6Vyj3[xkg6ruwjcqsrPw;5r*Ku]D'Zt-@3r(~?r.i[vwv]dU1a--U#`a4(g/vsRhPOu!5RhLj:rmu9Wo!~@:wdh@g/vsRiTjXuvvNr}:RhBj^v(pyw8unRn]dz1UYa'a+^Y(!aETZalaRY.Ta?a4[yDJw1!#qLsW>6Vyrfzq-pLflpwRe|Js>%!Dt@3Dt&Jvy_[xs~HrnjMuwpsw'RecKu+D#'!t<~Grl~?rjg5u-x,gwp{ah!-(~@:Rg~Ou!5Rh'jXuvvNr}:Rh#cW#X/c;&!#2sLi[v7u7RgpJv)(!iLrxu,Re6j7v@s@5Se[e7d`aW!Za(a`T.a#!a3!&aDa-!9)Dt_=6s+3[x~~DR|h~DS6avhGun5RkZj3w)v-]mkKunB!&*]kb97R|i<ARk<c:Z(6Vy}Juh'!wziMRoS:F|vkLuauJv5vtvQRh1d='T+Y#VyO~DR|jcF#T'7R|g97R|kJv3'!ay<Rj,Jvh&!:ReXcsa6*a+#a#_aIRf9aLRf?c,Z&Rf5Rf7c.Z&Rf;Rf>cQ#%T'p-Rf8Rf=ct#%'(*!,p,Rf4p+Rf6Rf:Rf<d~'Ua%U*^UYa(!a,-!#a4YaTalaEX0a8a<Weo3Dt/3Dsx=Br93Wen~Dr;~<5p<JwNZt2@3p=Pw:5p;Ou!5r3c7&!#:p>3Ds}KvGB)_6Vyk2sM=<r7x'eovA(!hFu1ARf}cV#X&@r5j6rvwQa^Rf3c=Za'wkghJv__g;unRggA53B9=b^}%j6uduo5Jq;!(hIv%2Re`Ou4ARe_e%a#^^^Xa&!a*a2!&a6YaP!*ad!#a:aE/5Rn?[y@>6Vyp;:pE~DrY~<5pBJwNZt8@3pCh=rt3rWPw:5pAJup_[xoNuPpF9c!#'45pD5ARn)d8#X'X*3@rU72s]h>v<<sSjJpqvewOJq/(!hNw'5ReBk0s2u3w/w'5ReE5@Jq.!a+JQ!&WeU23d(#Y&RjG5]jBk!u7w&u0udARjEe#+^^^Ub#!a2/a`Z(agT1!a-a;|@TaG!aS[yV=Re~fow'RguNuPRe?bz#'>RoUWeL>:Cbb|?JwPZtVg6ruRmzJvD'!6Vz(g/vmRh~Jvy_[y(g9voRgyx*cy(#2>Ri2B9b]~9kIw9u7rluJu3Rg]dI#a%UY'@=p%CAx.gQZ&RhwwygtRm{x5g_Z'+ABqR9Woa=Bp&dV#^*Xa'!&@o{g4v]Rk;Jv{!%Rk[wkkiA5RkiwwfUB=x,fUuqC&*!>RfTg8v0RfV~ARfSd;rJsAuAv9wR'ae+/aO!a@aza/a#[yQ@Wg!2Wemg3sEr0JvB_g>uvReWg2v+Re=KupB_+[y!2AbY~-~Hr2AJwD!(h<~El>h<~El?Kun@+_:9b`}Kg-v/Ri3g;vtwyk_9]k_d=&T#*U.6qh@Ab`|K9:H|CJv[!&3Dtex'fDwC%!Rf[9WlMd[(^X,!a%Z06Vz!@WgBg=v~Rgvg,QRe@awd,#Y+jTv|Q~EfWj]uNr|~FRfXdy#Y&^Ua%!aO.!(a)Ua;=!a@aKap!a-,a!Ta]a[rSa]p?[y82sK=Bq~;:p:~<5p8Pw:5p7d'#Y'Wf(;RnRi[u4w&RgJJvG'!6Vyh=<r#ijuuv/sIKuYD'ZtG@3p9~Gr&d2#`(g<vtRgFj`u5w&rqpxRf2CJuY!+:wfnTOu!5Rg}jNs1ucv&RfwJvA!&3@q|BDcC#T,k/unq8w8Q5RkTklwQuzunq8w8Q5Rk9dga#!a'!a=#a0!:+Tb*b@aO.a4!aba8aFJv^}?!VyR~Dr<g;u%Rn.~<5p[x'e`wNZtR@3p]Pw:5pZhNvjBp.woe_g5u-r4JwF!%DtO3:ooc7&!#:p^3DtpLuGw(!+%)Dtk6Vz#2sd=<r8d'#Y([y#<x3gJt`w@!)%}MRiowzikRij=]ilxAf3,U(#B2Rf#g0v-Rm[ck{`U#]giKv3>)!&6Ri154s,KuGB_%@r68r:dJ|t`#X(9<E|u2@H|rx3gJu?w'!+'1Nu7Reg4=H~+9<wxgY95Rm]xLggZ-`(X}U2:Ri4h<uOawRmsJv__5@bb{jbV~3dka#a'a]!,#a+U=a>b6a3b%!/aKa/)!arwve^VyJ;:pR~DpTg3uJpS~<5pOPw;5qmPw:5pNOu!5pQJvG'!6Vyx=<qoJvA!{~Jup!%@qk7Rn/KvyD!}''[xz;>wkh'?Rh,x8gyt`w5D!&),(SgyccRgztJ@3pPB5p#d'(Y#<]mmifubw&RgoJvE&!82s^JvF&!8Rf,ADb]~;x=h'rNu]vK!,%'*0RnORh)4Rh*AqQg-vaRnNg;wHwkh'ba~4cE#Ta*x3gctyw@'!+%RnFRnD<4Rn@hFvK5RnCxWg[#`&a0Ua()`1Rm75Rg[c]%X#qi8Rg^NvdRj>BwzgZauwji7Rm6A4wgg]d1#&(*,.0a#Rm;Rm<Rm=Rm>Rm?Rm@RmARmBe%#^^^Xaea?aC/b+(,!a+a#!a/!>a&Ta<aKbD!2wphBRnk[yPw}hE|.=Br-3Dtm>6Vy~g6urRf.x,hPrNav!%'RnqRo%Ro#Nu;q[Pw;5r+JwNZtM@3r)d'#Y'Weh;xChL#`&RnmRnoKu}>%(!Rne~Bs-;2wjcussJv+'!aYSO}6@B<5?ba~8LrNvj!.%*ROwungw~ng~:9;Ri^>wtnig;wHRnixDh@|(UZ.x1h@|)!#:2<H|*xHn]#-UX'3Ro)z=iT}6ARns=Bwsn_wpnaRncw]aR(#UXa&Ua*a/=]iPd'#Y&Ro'WnXf{QRm2hNvj]nZd`'T~&1`{|`#9b]{}c:'!#Wl{>@=be}]?cl{{U#:5Abb}Jds#^YaF!a*b4a#a3aPa>&Tb!bH!*a_!Eau?/a&RjY<]gj>6Vz*;:pe~DrZg,QRj1JwNZtX@wihspcJvZ&!VyX9WmOJu|!|N2WmHJvh&!]ht~Bpbcn&T(!#RmQ<s7Nu;padH#X'`+WmJ@>RmKCARhnKup=!)&Wf+:RhqNuPpf9c!#'45pd5AwghpARn(Ls@w!%,)!RmP@Wfe<E|IJva!&WmNg8vsRmLd`*.`#Y'Xa!axRn*]hrA8Rhug5s@rXg8u!RmMd8#X'X*3@rV72smdI*#UY&RmICARho~GsgxVgd)Ta'U-Y&Xa!T#RnEWnA@Wffg1uDRi0hFvK5RnBxGnG&#`%owp)@wsf+bX}Ze-*1!a*^^^Ua|!#a.aq&Ya2!a>.a6!a:aO`aJDtL[y`@Wg#>6Vz12@wzoYRoZNuPRi!NuPRhzg=ucRi,@=b`{Yg=ucRi-ACJvB!&Sh[ebSh]ebi`wUuFRm4Jw2_[y0JvB!.<Ju(!&SoG}6Shd}6<Ju(!&SoH}6She}6Kur@._g5vHRieJvx!{L2G{Kx6gd'T#?Rh82Wi5cZ#X(g1w)Rm5dW-Y(Ta#!a)!#aYa=wnfE=su2>>bU{0j9udv:<svj8uQv-7RgHdE%#^'sq9sp=>Bb_{TJv`!&g/r|snj6v(us5d,#Y(56H}[978H}]Jw5!&g1rushJvB!+j;v{u5?zDhd}6}bj;v{u5?zDhe}6}ce*#`(^^^a[aea!=!a6a*aoXb1a.!aAbL!b>,b'aL!aV@Wf|2Wlg3[y/JwNZt^@3piPw:5pgJunZou3@rsJva&!Vy_g<v~Rm#JvG'!6Vz0=<r{Ju{%!:pj@WfsiXuJu3Rm:JvZ&!WfA~Bph@c4Z&Dtwax5rubx(#:awRk1@d,#Y&RfjRfid1#,Y(@Wfp2Wlrg5s@ryKu[@!,'=]ig9wlk?Rk>g5u-rqJvy'!@9RkQcH(T#=>Ri~@<wkj(Wj(KuZB*!&<7rw@9RkRcH(T#=>Ri}@<wkj)Wj)dg(Ta2Xa9X#`-!a*CARhg@@=I}d9x;c~#X%so=<sj>2@@=aybb}XjWv0Q~EfEj3vLv;<d,#Y(56H}`978H}_dgaPaFa'a/!#a3Y0a_a;a|!1(a7-[yE3[xt;:pJNvZrrg3uJrvJwNZt=@3pIh=rt3rxPw:5pGOu!5rpJvG'!6Vys=<rz@c4Z&Dt(ax5rtJvZ!&~BpH@wsfNg-vaRlNci*U#=<wei<F}a5@Jq.!a*JQ!%@qZ23d(#Y&RjH5]jCk!u7w&u0udARjFd/prq=tyvpaEa(a:.!a1aZ(@@=I}:9wpd%=<sX55w_h}@@=I{t=ay<aU@@=I}T=ay<2@@=I})?C9:9au@9Cb]}DP~=x-fAZ(2Wl1=ay<aU@@=I}>5@d##Y+jTv|vV~EfFj]uNpn~FRfGdgaK!Z2&!a8a-Tb({E!acTbM*!a(DtY[yYd'%Y#sl[y*hHvh>Re5x2c{Z}.j4uCvcawRiMd+#X+_x&d!},<5RkX;2Hzw@x,gavfB-!{CcF&T#Roe;RodwWbBg5urRgaKvHC*_6Vz+<4opieuew&Rmq@d]&Y)X,T#X0Rh}<BqP=4qS9:ReMg/ujReNJw0!/<Jui%!bd{kawwnemRelAxUa?a3#*.&UX(Ya+a/RhvRnQ<o}9Wmtd-#Y&RgSRmw9;Rmxay=Rmyg-vaRmuxEhSrNu,v-voC!%(aR.a(a7+1Ro1>Ro5CE{A9b]{@;5x#eO{:g;urRi+KrNA!%(Ro3>Ro79;Ri_Ku@>{;&!x%gX|{KunA_+g5QRj/g3u5Rj#g>uERj%wio/xRhS&!,!#^1U}wba{8>>@=be}qC@:D5ba{7Ku+A&!}x?ba}t>>@=be}se(aA^^^Uat!b0#{pa+awUazbGa#aLb9bgaWac'a5TbS=Br!d1#`%scp_Jvl!#rT>Re0JvX&!VyN=H{Fcm#U&:pY=ReaJv2&!]h0=]nUJvG'!6Vy|=<r%JrM_=]h2@Wlud'#)U'Wf'b]{i=]h/Jvh!&~BpWg=v]RnMx+ny#'Nu;pVwjnu=]nwxJnx,T#`&Reqwjnt=]nvieu9vrRjLLuYwP(#+!th@wih5pX~Gr'g5v/Rh4KunA'!-CARnP@wwiN:Rm_9x'cvw>!|l=<saKvAA!0&3@q}>w^e1bp#&Re2Re3BDx7gH#T|f5H|eKuZ>!%(:qNAH{]Jv6!+3B2B9=b^{X<5<B92:E{ZLvhwA(a;a%!igQuyRmad+#Y}m@3Rh5d8#X'X*:AqUAHzmaxwbh<aXRnVcF}RT#Nw&cj#U(BWnug/vsRntdka)(a3+.Zb7aYYan1!bVa@Xa}[y^@b[{G=H{+hFu73Rj&Pv#5ReQcK%T#sig1v{Rj'Ku+D#'!t]~Grm~?rkKuMB!01d5#`'Vy.ta3Dtu~Hroc8#'{^45s85AwZbP&!#Rn!wghxWn#KvEA!)&2RlA2RlBx:h|#(T,=]j09Wobz>x]z/@awRoTd+#Y(az]hFhCrm4d,#Y+jTv|Q~EfMj]uNr|~FRfOdCa!Xa9_X#@<plJvf!%b`{(9;Rgwc;.!#2x7cw#T|UDb]|T5Ju={(!=@E{&Jv)&!Ab`{'awJvf!~*>>@=be{#KuY>!+&4Ezyi[ugv&RjIdea+T)#UXa&T-T&a!Rh9auRmW=]kLg5vuRn+g3u4Rn-Ow6ARn,hHus5xNk?#UX(U~)/g8v0RkD~AwkkF?Ri.OuNBwkkA?Ri/d|a2`a*^UYa.!aBTZaTa'Xa;!(!2!-a#b2[yC>6Vyq3[xr2Wi?g1rusVh%s?DtF~<5rbJs;%!DtBfswKtCj[uvuSsEu3RgVx3o:u+wN'*Zt;@3rd~Grh~?rfg8w)Lq)qE&-a%!>bI|`jWv0vV~EfCjTv|vV~Ef@j]uNpn~FRfBcK#T']gWNu7x,k7q4ai(0!hHv8<RhmkMu9vrsBuev/RhlCJvB!,g<v{wchh~@:Rhji[vrv{wchi~@:RhkdS&a5UY#Ta!RgPwwiI5BwciI~@:Rh`x'iJvj'!5]iJPu8Bwch]~@:Rhach)U#h3rp]gLh@t|Ax,hTq3ah!-(~@:Ro0Ou!5RhXj^v(pyw8unRhVd|)`,^UYas!a?/a2Z'a^Ta{Tb7Ta(a#!a,Wf&9sZ3DtAadamov=Bqt3[xig8vsRm~>waiL2b`{QJv*_Ouv2qgj<v]v2BqfdR'X*X#Y-@3qr~Gqv~?p6hHv-]glPup5Lq+q?_%*b_{qF{n9b^{rOu4ARhpKvCD!+&~Bqp:5Dbb}nwoiKl&unuTuBv]v+ueunaXRf0=Jvh!0nKufu8v1w&w7q%w&uHrz:Rgnj5w,uxDJq/(!hNw'5ReCk0s2u3w/w'5ReFd>Za&!*UaA=<wkgsRnSJv^!%Refifw3vyRgOKu_B'!,<]gkiiu:w&Rh<=C@a^<B57@2F{[<B5@aW:=3away9A5aW=<B=C@a^<B57@2F{Ie-#`(^^^bCara.b8aza6!/bZ,!adTbnTbOb+aFaS!aAT9@Wf~2Wli3Dtl2@d,#Y&RfnRfmJwJZtN~GqyJva&!VyMg<v~Rm%iXuJu3Rm9Jv[_=]ih9wlkDRkCd1#`(@Wg>2Wls3cH#T(@<Rj*=>Ri|b~'#23s9h<~El.d'#Y&Dtxi^rzvdRl#d*#U%(o|B2s`hJwSaxRmDKv4B&!1:Rmdd5#`'Vx}to~Hq{x'f1v3(!BA5ba|bJv_&!Wfug1v]ReIdO+U/Y#&G}-8wze=Rh{g1v]ReHg/uQRf/by#)ibQwERl/cH#T(@<Rj+=>Ri{cNu+vlax-!(#a0qa9<Rii2;;bU{H;x<i=&X#Rk`<4wwi=C9H~8xAI(Y#<azRi@45wXI<B9;5bb~7dL(X#Xa(+!aL6Vy{g5QqOau:5au2@ay547EzbxOcU(UX-T#Ta#:Cbb|A?wjh/b_|SOw6ARgtihr}u7Rhy<d1#T)X1@@=I|~=ay<2@@=aybb}Sj3vLv;<d,#Y(56H}A978H}@dGpvs@uAu`vcw9*!aFa+ai%(b!aXa8.a?a[ozWey=sU2@G}Nch&U#Rf_WexKu+D#'!t:~Gr`~?r^j]uNr|~FRg*j^psurwJt|RmcKv)@&!)7Rkv~Br[@wxfO:Rl3co#U'6Rezj_q#vIuavjRltwzeyh@vr5JqD0!>aY?C9:9au@9Cb]}9cl#U*5;5<H||jbuus1ucv&Rfvg1v~d/pppzqFr^a--a~!aMat1(hFv;Wiz@@=Izoj5uuv-7Rix~Cw`fk2WlVcZ#X,k)u3vWs@u2]ktg;wEx'fBq(_2Wg/jTv|vV~EfoJv]!15x'hzqG!(P~EfU~CRl_j6v(us5x4i-#T(2WmZ?C2F|d>Kq<aj1!*jTqIsBv=Wl`~Cw`fi2WlWj`v0u*~>RlR=c>Z,k#u3vWs@u2]kr<c1Z+jTqIsBv=Wla~Cw`fm2WlXdmb3!a{(arZa`bkTa%TbQTa-a9+c'!aM!/[yL=Bqug.w'RifhFvyDRj.g>vgwyk^9]k^Jv3_@WfbAARkhJw2_[x|JvB_wkoIRoKwkoJRoLd'(Y#<]gm=<9<H|yd'%_X#skDtb3awwqkgNulRkgdB#^',9:p'hJwSaxRmEBwVb8@4=H|qLu+w50&!)@3qs~?pU>Awwn;;Rn=c:Z'ARn<=<qwKvC@!/&~BqqJv6!&]eVb^z^xRge'/a%+^`#Sge}6<4Rn3=]n0Pw2>Rn8Jw0!&>Rn:>Rn6cY#a7+!a&=<wkaNw~h3z_c5Z{=wjh#=]nLKv^D!&)Vyz=bW|swYb<WetcG#T(2wxa@qVx@gD#Y&b^|V5JwG&!5bb|pg/w&RgD@x=kHs=uAvn!a%%/'+RmSRh694Ro`g-vaRmRhHv-]mlxCcS#`&ba~.5cD#Ta)P~=d,#Y(56H{>978H{Dd_#{2^Y%_+qbbb{6g3sERhsbU{?dfa.,`a(Xa<!aiX#(55RiG54RiHcI#T'WiU3RiVNvdwtfcRlKNvdd,#Y&RlHRlExQgf.1*^T'X#Sgf}6Wn4=]hfPrk>Rn7Jw0!&>Rn5>Rn9Lunw?&a2!,5<oq@@wqfdRlJj5Q~=d,#Y(~ARfcOuN]fdDKw;ay(}i!547E}j?cI#T(@5bV}iCbV}hdv(^^Tb?a40,b##Tbo!a*bR!a<b|a/!aKai!aU[yK=]o^g:v>ReGJwPZtK<7Rh+h<~El,Pv#5ReR@awwxjCg,ulRjDJv6&!]j!z?aQeeg>w=Sh<eeJw;!&axEzOg,Qosc!#*:wkeJ]eJ>x'h-u(!%Ro.w~h.zPdNZ(X,Ya![x{;9ReY;wkgxRiF:x?ap#Y&RmUg<s2Rkod]+UY0TZ'!a&A9sw<=bczLNvuw{gqzNhJwSaxRmCKuLay!#&s_Rf-55b^{uJvZa!!c%#(55Ri654wmiu5RiuawLu,vp!+}^%b_}Y9;wkgxba}o>A9:=b^}zKuh=a''!3awRk3c*'!#aHRk6c+Z&Rk5Rk4Jv)&!awRjSawd9*`#0?C2@EzMj8u<uJ5RmbjQrquJu3x,k>uq@_+=ayb^|W~ARkEOuN]k@7dhzV^X/X&a-#zRzSb`zXcJzTT#2WkVKvDBzW!%FzY9;5bbzWjQrquJu3Jw3%!b`zU=ayb^zQd:#X(T-a!6Vyywxh}=b]{Jg=u1RiAdGp~qHtzv!w(wA+a+a;<!aJaYai'anasb(=azRmV:Cbb{MLq2vb!%')RjuRjrRjtRjqx3jnqCw3!%')Rk(Rk+Rk&Rk)Lq2vb!%')Rj{RjxRjzRjwLq2vb!%')RjsRjpRjfRjex3jcqCw3!%')Rk'Rk*RjkRjl9<CbbzfOu4ARhxLq2vb!%')RjyRjvRjhRjgx=joq*uKvb!%')+-Rk.Rk%Rj~Rk-Rk#Rj}x=jdq*uKvb!%')+-Rk,Rk!Rj|RjmRjjRjidAq&qKs@uAv8Aa.'*-a@a&0!aM@a5[y73Dsy3Ds|3Dt):wxgI2sHJwJZt.~Gqxwsf0ikrzt}Rl0Jvy_[xj~HqzKv_A|D!&WfP8axRoVcf,U#k(v]v+ueunaXRf1Ju}'!g8u#Ri=jQw!sCunLprq>!,')~<5qeGzq9F{W=c##%s5au:5aU3CBE|;d4#X(D!a&6Vygx(b;#(=]ed?C2F{N<capoq2r[a&!aPa9,'Pw;5s:@@=I|,55w_h|@@=IzcP~=x'fCqB_2Wl2>aU@@=I|1OuNBc1Z+jTqIsBv=Wlc~Cw`fl2WlZ~AcTa%!Z+jTqIsBv=Wlb~Cw`fh2WlYk+uNqJsBv=WlSg,u3dca3#UXaMYa)TaB-=cM|7T#<bI}l5@B932:aV2G{BOuNBJq:|M!5Ezt=<B=C@a^<B57@2F{v>cB{/T#=ay<bI{3Jv6!a.6BKq0ah&+!5E}HP~Ef{978BaU@@=Iza<7d#.Y#978BaU@@=IzH~AJq0!(@@=IzG978BaU@@=IzFe,aU*Y&^^^bvJb,b:bFad!a,c2Ta>aL.bo6!a#CbTa'T#Re{2Wlh2@G{yg6t~Ro_NvdRfticuRQRllJv3&!x&c|zs@Jw3!%RflwpfkRlpKuL;%(!Re<@G|C2GzdhIvuBwgjAg-u0RjAKQB%!(GzZ@G|5NuuRl7d='T+Y#Vy[g<v~Rm!==G|>JvA!)@wma=]m1ifuaw&RmnLs@vT'!|/+[y,g:v>ReTJw1!#qX=x!eC{bLu+wT&)ZtZauq_~Graci&U#F|89:r_Lupvq!.)&2RlG8RfaC=x!eF{_h?rpWlmd&'!#X|&]k::xJey#`'T|+<E|&2@H|%dE#(^,g;u.RiEg6vjRiC9xCkA{O|zY#g=ucRmXKs0@!&*@G|m@awRknJuh!,3d(}gY}eJvj!%Rm):Jw3!%Rm+Rm-Ls0w(&!a(a#@b[|6cZ#X'7RkxWgAOu4ARn'dH'U#Y*Vz-Wm'CARm}d]*#a%^a*T'aK!a<9bV{PC=p*Jw4!&SgxcbB5r]idw(wBRmF7xFkt#&`(Rm/Rm8E|!JuY_9:Rl5=wrgr2:bbxd@xXfB(a*#T+!.X0X1Ta/a'T&RlDRfL>RlyARl9b[z[>RfZ:RlL:RfRwlg/ARl;9;RlxKv,A/!%7s69<74=BA5ba{-8Bde#`a<XaKYa1,a'P~=wxfB2bZ}}?C972@@=I}r8@55B9;5bb}G978B2@@=aybb}3j3vLv;<Jw3&!>Rfk=ayb^}4~Ad1#`*@@=aybb{w2@>==<bbz]dx+UY#^UaF!a9!bB'Ya1.!ajXa#%olRhD[y=3Dt#Ov5BrHKuMB%!(Rf^Wep~HrJwkiQjKr|~FRg)Ku+D#'!t5~GrF~?rDdV)UY,Z/_7RkuG{<~BrBg,rlsO:235B@bX}|d?a1!#`(6Vyn5@d##Y+jTv|vV~EfIj]uNpn~FRfH7Lq2vb1!a9-978BaU@@=Iz9978BbU}#~AJq0!(@@=Iz8978BaU@@=Iz7~AJQ|}!978BbU}!JvkaK!AdUa21-U#`a+(g/vsRn~Ou!5RPj:rmu9WhOjXuvvNr}:RhAj^v(pyw8unRn[kPr}p|u7vwv]RiSBd;pppzq@qHQa?(b.!a.a`@.|xa(hFv;Wiyj5uuv-7Riw~Cw`fg2WlU978BbU|wOuNBJqG!(P~EfD~CRlQcZ#X,k)u3vWs@u2]ksg;wEx'f@q1_2Wg.j]uNpn~FRfqJv]!15x'h{qG!(@@=IzK~CRl^j6v(us5x4i,#T(2WmY?C2F{1>Kq<aj1!*jTqIsBv=Wld~Cw`fj2Wl[j`v0u*~>RlT=c>Z,k#u3vWs@u2]kq<c1Z+jTqIsBv=Wle~Cw`fn2Wl]dn1#c(a(b^a2!b/bAT(bj!aDa7bu,a_a{c0!2T0g:v>ReD2@G{42@G{5~DpM~<5rc=Bx6i>{RT#RnI@zCx]y]z:2Jv[!zr5Awyk]9]k]dD(Y+X#6Vz.g=wKtgwhaCwgmTWj2Lu,w%_+/[y-B;b^xeg3u3Rj-2@bX{*KrJ<!+'@Wg(g?QRlC@Jv`!%b[zIwsfII}8JQ_@w|kW|=Jv(%!AqcOuNBJvEzh!bYzjLs@wP#(0!oy@>RkdJwMZtc3Dtd@BcG#T'9bWxg2@2Fznd*#Y+;2x'c}w<zizixNgwa#Z'U+!/!a'!a+w~g~z6wcn{Rn}wcnzRn|5Rh%=]nJg5vuRmvNvdRlvcprJu}w*az*a#!%.a.'Bot9qT]kj@Wg'ay2Gzv@Jv`!%b[zEwsfHI}1;ck#Ux`<Cbbx_Lu+w!a&0*!wko*wwo,So,}6Juqxf!E}PigQuyRm`d3(`#8>Rn%:A5B;bZ~%KvhCa!a2!x>k7#Uxb@b{#xaRk7Jw0!)>wwhlShl}6>wwhmShm}6CJvB!.x'hhvj{!!5Bwkhhbaz}x'hivjz~!5Bwkhibaz|xEhTrNu,v-vpD!a%&/)a3a.,%Ro2t[CE{)@3re9b]{%wjo09:rgc:Z&Ro6=<riifuaw&RmoKrNA!%(Ro4>Ro89;Ri`dSaL'UYzxZb)7Rka3xRhT&!,!#^1U}vbaz{>>@=be}yC@:D5bazzKu+A&!}{?ba}y>>@=be}wxBh[t`u~vJvr!%a!a()a,a0a4RoC=]o;Ju(!%RoGRhdwjh`=]oAg>w#Ro?g5vuRo=NvdRl|Ku]C.!&;RoEJvB!%RoORoMBx'h[v+_?w~h`}~5?w~hd~!xKh]oiptu-utv.vp!#%&a30a@a'a+(a/aOp(o~p!RoDJu(!%RoHRhewjha=]oBNvdRl}g>w#Ro@g5vuRo>c[#X']o<CauRoRAd-#Y':RkpauRoQKu]C.!&;RoFJvB!%RoNRoPBx'h]v+_?w~ha}t5?w~he}ue!/UbhYacXaW^Tc&a;b:a-c/#b&aja1(!cL+!bKbt!bmcRc9aIc?8[yW3Dtt94Rg`Jv}!&SiRMzBhEebShEMNuPRe>x7gL#TzuwjirRipc<Z&>on;>z=h-MSh.Mwqczx'a7vj&!>Re4@=ResJt__NuPRi*NuPRi)j]uNr|~FRfzKrJ>_+@Wfy@Wf]2WocKrJ<!+'@Wg%g/QRl@@Jv`!&awRl<wsfFIzgLu(w*!.*&ShBMwvhIRhI9;RhNx1hK'!#Sn]Mx1hK~0!#:2<H~7cNu+w7D*'1ZtW>Rn1~?rOc:Z&Rn2=<rQ<7wjh&=BSnLMc]#X(6Vz)w[b=a!U#9wzgMc3#&(RgMRitRis<x,gKt`ax!&+SioM=BSilMc3#&(RgKRinRimKurB,!&SiQMzBhDebShDM6BJQ!(P~Efx978B2@@=I}WLrJw!!,a*&@G}O@9wkibRid@@x'fKwC!&SlDMSfLMjUv~Q~EfKKv3@a+!(hFv-]mpx/hYZ(C5RiWz<o/MwkhY?So/M@x,gbvfB*&!SgEM:SoeeehFu3:Rgbda(,^TZa)X/7Sg[eb:2RgI~BrMC@wgkc:wwkcRerx3h(uUvK!&*,SnOM4Sh*MArRg;wHRh(x=h;rJvPwI!a4',a'0@Wg&=BSh/Mg>w=Rh=g3w*wwgGRgGcW(X#;Sg}M2Gzk@Jv`!&awRl=wsfGIz`dKZ*T'Y-:RhR7RhQg5u-p`j6v(us5d,#Y+~Awkia?RicOuNBwkibba}Ld6p~tyu_vbAa'a+!a/'a3aEa8a!>Sh,ebJv{!&Sh@ebSaReb9;SgwebNuPRi(NvdRl)NuPRi'hHu^<Rm^Jvv_@Wl(g;u1Si/ebKu'B&!*Sh?eb@Wl'z@aPeb95Si.ebcpputyvjB)!,&a+0a%ShAMWeK@G}C@WfJ9;RhMwvhH9w{ia}ix,hJvRA1(!zAn[MRhHx1hJ~*!#hFv(BSn[MBJQ!(@@=I~'978B2@@=I}2db.Ua<'X}+T#a0XaG2G}E;wkg|wuh!Rh!x,hZu,@)!&So0MVy)C5RiXACJvB!&5RiY5RiZg8w)cG}*T#2@bU}=KsA>(!a.3wkhZba~(x,h^u(A!&(SoCMRhb5Bz=h[eb?w~hb~6x,h_u(A!&(SoDMRhc5Bz=h]eb?w~hc~6e)aA1T#T,^^^c-bMb&blcPaP(a/!0!bA=b5c@a(!bfbrc#2afwmhARnjwchORnp2Wlf3DtsNvdRl-2@wpa<]m0bx(#:awRk2@Jw3!%RfhwpfgRlnKQB%!(G{V@G|'NuuRl6d='T+Y#VyUg<v~Rl~==G|<Jv+'!aYShC}6@B<5?ba~8@Jw3'!g2QRljhLrpWlOd+#Y'g.w'rIg>w*wgj@g-u0Rj@Lu+wT&)ZtUauq]~GrGci&U#F|39:rELrNvj!.%*RhCwunfw~nf~:9;Ri]>wtnhg;wHRnhx3hDs@v~!/+'@Wfr@9RkSNu&Rlo=@<5GzoKs0@_+@Wl+@awRkmJuh!-3d(}pY#qWJvj!%Rm(:Jw3!%Rm,Rm*de&!1U-U#`)Re;@G|.@9Ri82@wjfvRlq=@<5GzpLvOvr!).&2RlF8Rf`C=x!eE{.Jw3_g2QRlkhLrpWlPde(!#U{s,UXa*Ta'[y'g:v>ReS;x0PZ&RnlRnn~HrKJw1}f!=x!eB|2w]aP(#Xa&a*Ta.Ua2a7=]iOd'#Y&Ro&WnWg;u.RiDg6vjRiBNvdRlzhNvj]nYJuW_2Wm3x)kFze{9d])!a.!,Y01!#&aC!a3RndC=ox~BrC@2b^{pg,rlse7x'ksuq!%Rm.E{xidw(wBRmGx9o+)X#wwo-So-}69:Rl4@xSf@a#XZ'X)X,Ta(/ARl8b[xc>RfY:RlI:RfQwlg.ARl:9;Rlwdn'#^XafaQa1X1TaHTa)@b[{zcZ#X'7RkwWg@Ou4ARn&x)kG#{,g7u/RkGdH'U#Y*Vz'Wm&CARm|bx#(A]gUbUzJj9Q~=d,#Y(56H}l978H{U7d,0#U*2>ABb_xZ978BbU{e~AJQ{g!978BbU{hxMh?ad{oUYZ.x1h?{l!#:2<H{mx3n[t{vl!,&a%3Ro(z=iS}6ARnr=Bwsn^wvn`Rnbd`*T}B0!#^X'BG{c9b]{a>>@=be}F?JvS!&BG{d7BG}(Bde#`a1X,Ya@!a'P~=wxf@2bZ}I56B2@@=aybb}08@55B9;5bb}<j3vLv;<Jw3&!>Rfg=ayb^}&OuNBKuLA!)a!P~=x#fD{f2@>==<bbzl?C972@@=Ix^d6rSu,v7w*C(0a)a6#B+a%!sQ[y?3Dt%3[xn~<5rLOu!5p@Ku+D#'!t7~GrP~?rNKvlaya7'!h+v-5qMg=t|cd,U#5AAaa5Abb{S@52B5@a[@52B5Gx[iXueu;d<#`a(!/549C;ag>23ExY5@Dah89b^~689Jv)!~2b[~1Lv'w(%*!a#bX|aPrmawRe]keu7uhv-q6rxu,q`xTo]/a5aU!bNaDXbi!b-!ao!b<bwA!#5@B932:aV2G|:d-)Y#hJrL>RhG<7@C5<H|_=Cau:5aj5@B932:bJ|ng>vIbs)#?C2F|9jPv0w.vISh-MKvUaz(.!9ABbb|[5;5<H|Eg>unwfh;9:4E|YjQsBt|vjx'hYq3!(?C2F|J:2<BaY?C2F|GOu!5x,g|p{ah!-(?C2F|c9:4E|OjXuvvNr}:Rh&i[w*t|cd+U#jJvsu)vsSn~Mkfrmu9p}u7vwv]So!McW#Xa!ax5@A5aY:5;5<H|>kJv~vYrquJu3x4ib#T)2@SmZM?C2F|Bj:rmu9@xPhI(a*a#U#`a3-5Abb|L~@:RhK9:4E|0@52B5G|#C::aY?C2F|-:2<BaY?C2F|.5Jvk!a)javYrquJu3x4ia#T)2@SmYM?C2F|HAxPhH(!a#U#`a*-5Abb|4~@:RhJ9:4E|R@52B5G|F:2<BaY?C2F|Sc^#Xa2j=Qq5CJvB!-g<v{z;hhM?C2F|Zi[vrv{z;hiM?C2F|XKsA>!a)-g<v{z;h[eb?C2F|]i[vrv{z;h]eb?C2F|^iZu.vix,hZq3ah!.(?C2F|QOu!5ShXM:2<BaY?C2F|P",13494,2713,49,25,61);var Y;(function(e){e[e.VALUE_LENGTH=49152]="VALUE_LENGTH",e[e.FLAG13=8192]="FLAG13",e[e.BRANCH_LENGTH=8064]="BRANCH_LENGTH",e[e.JUMP_TABLE=127]="JUMP_TABLE",e[e.VALUE_MASK=8191]="VALUE_MASK"})(Y||(Y={}));var te;(function(e){e[e.AMP=38]="AMP",e[e.NUM=35]="NUM",e[e.SEMI=59]="SEMI",e[e.EQUALS=61]="EQUALS",e[e.ZERO=48]="ZERO",e[e.NINE=57]="NINE",e[e.LOWER_A=97]="LOWER_A",e[e.LOWER_X=120]="LOWER_X"})(te||(te={}));var St=32,Vr=21,Us=2097151,wn=2047,Kr=0;function Js(e){let t=e>>>Vr;return t===wn?Kr:t}function Qr(e){return e-te.ZERO>>>0<=9}function Ws(e){return(e|St)-te.LOWER_A>>>0<=5}function ei(e){return(e|St)-te.LOWER_A>>>0<=25}function Hs(e){return e===te.EQUALS||ei(e)||Qr(e)}var Gr;(function(e){e[e.EntityStart=0]="EntityStart",e[e.NumericStart=1]="NumericStart",e[e.NumericDecimal=2]="NumericDecimal",e[e.NumericHex=3]="NumericHex",e[e.NamedEntity=4]="NamedEntity"})(Gr||(Gr={}));var yn;(function(e){e[e.Legacy=0]="Legacy",e[e.Strict=1]="Strict",e[e.Attribute=2]="Attribute"})(yn||(yn={}));function $s(e,t,n,i){let r=(t&Y.BRANCH_LENGTH)>>7,o=t&Y.JUMP_TABLE;if(o){if(r===0)return i===o?n:-1;let c=i-o;if(c>>>0>=r)return-1;let l=e[n+c];return l===0?-1:n+r+l-1&65535}if(r===0)return-1;let u=r+1>>1,a=n+u+r;for(let c=0;c<r;c++){let p=e[n+(c>>1)]>>((c&1)<<3)&255;if(p===i){let h=n+u+c;return a+e[h]&65535}if(p>i)return-1}return-1}function Yr(e,t,n){return n===1?String.fromCharCode(e[t]&Y.VALUE_MASK):n===2?String.fromCharCode(e[t+1]):String.fromCharCode(e[t+1],e[t+2])}function qs(e,t,n){let i=t+1,r=0,o=i;if(i<n&&(e.charCodeAt(i)|St)===te.LOWER_X)for(i+=1,o=i;i<n;){let a=e.charCodeAt(i);if(Qr(a))r=r*16+(a-te.ZERO);else if(Ws(a))r=r*16+((a|St)-te.LOWER_A+10);else break;i+=1}else for(;i<n;){let a=e.charCodeAt(i)-te.ZERO;if(a>>>0>9)break;r=r*10+a,i+=1}if(i===o)return 0;i<n&&e.charCodeAt(i)===te.SEMI&&(i+=1),r>1114111&&(r=1114112);let u=i-t;return u>=wn&&(Kr=u,u=wn),u<<Vr|r}function Zs(e,t,n){let i=Xr,r=e.indexOf("&");if(r<0)return e;let o=e.length,u=0,a="",c=i[0],l=c&Y.JUMP_TABLE,p=(c&Y.BRANCH_LENGTH)>>7;do{let h=r+1,b=e.charCodeAt(h),_,d;if(b===te.NUM){let S=qs(e,h,o);_=Js(S),t&&_>0&&e.charCodeAt(h+_-1)!==te.SEMI&&(_=0),d=_===0?"":qr(S&Us)}else if(ei(b)){_=0,d="";let S=b-l,k;if(S>>>0<p){let C=i[1+S];k=C===0?-1:p+C&65535}else k=-1;let D=0,v=0,x=k<0?0:i[k],A=h+1;e:for(;A<o;){for(;(x&(Y.VALUE_LENGTH|Y.FLAG13))===0&&(x&Y.JUMP_TABLE)!==0;){let M=x&Y.JUMP_TABLE,I=(x&Y.BRANCH_LENGTH)>>7;if(I===0){if(e.charCodeAt(A)!==M)break e;k+=1}else{let H=e.charCodeAt(A)-M;if(H>>>0>=I)break e;let O=i[k+1+H];if(O===0)break e;k=k+I+O&65535}if(x=i[k],A+=1,A>=o)break e}if((x&(Y.VALUE_LENGTH|Y.FLAG13))===Y.FLAG13){let M=(x&Y.BRANCH_LENGTH)>>7;if(e.charCodeAt(A)!==(x&Y.JUMP_TABLE))break;A+=1;let I=M-1,H=k+1,O=0;for(;O+1<I;O+=2){let Q=i[H];if(e.charCodeAt(A)!==(Q&255)||(A+=1,e.charCodeAt(A)!==(Q>>8&255)))break e;A+=1,H+=1}if(O<I){if(e.charCodeAt(A)!==(i[H]&255))break;A+=1}k+=1+(M>>1),x=i[k];continue}let C=x>>>14,y=e.charCodeAt(A);if(C!==0){if(y===te.SEMI){_=A-h+1,d=C===1?String.fromCharCode(x&Y.VALUE_MASK):Yr(i,k,C);break}if(!t&&(x&Y.FLAG13)===0&&(_=A-h,D=k,v=C),C===1)break}let L=$s(i,x,k+(C||1),y);if(L<0)break;k=L,x=i[k],A+=1}if(d===""){let C=x>>>14;C!==0&&!t&&(x&Y.FLAG13)===0&&(_=A-h,D=k,v=C),_>0&&(d=Yr(i,D,v))}}else _=0,d="";_===0||n&&b!==te.NUM&&e.charCodeAt(h+_-1)!==te.SEMI&&h+_<o&&Hs(e.charCodeAt(h+_))?r=h:(u<r&&(a+=e.slice(u,r)),a+=d,r=u=h+_),e.charCodeAt(r)!==te.AMP&&(r=e.indexOf("&",r))}while(r>=0);return a+e.slice(u)}function It(e){return Zs(e,!0,!1)}var ti;(function(e){e[e.XML=0]="XML",e[e.HTML=1]="HTML"})(ti||(ti={}));var ni;(function(e){e[e.UTF8=0]="UTF8",e[e.ASCII=1]="ASCII",e[e.Extensive=2]="Extensive",e[e.Attribute=3]="Attribute",e[e.Text=4]="Text"})(ni||(ni={}));var Gs=class{src_Any=xn.source;src_Cc=En.source;src_Z=Dn.source;src_P=nt.source;src_ZPCc=[this.src_Z,this.src_P,this.src_Cc].join("|");src_ZCc=[this.src_Z,this.src_Cc].join("|");cache={};opts={maxLength:1e4,urlAuth:!1,schema_names:[]};constructor(e={}){this.opts={...this.opts,...e}}set(e={}){return this.opts={...this.opts,...e},this.cache={},this}escapeRE(e){return e.replace(/[.?*+^$[\]\\(){}|-]/g,"\\$&")}nestedPairRE(e,t,n=4){let i=this.escapeRE(e),r=this.escapeRE(t),o=`(?:(?!${this.src_ZCc}|${i}|${r}).)`,u=`${i}${o}{0,1000}${r}`;for(let a=2;a<=n;a++)u=`${i}(?:${o}|${u}){0,1000}${r}`;return u}get_text_separators(){return this.cache.text_separators??=/[><\uff5c]/}get_pseudo_letter(){return this.cache.src_pseudo_letter??=new RegExp(`(?:(?!${this.get_text_separators().source}|${this.src_ZPCc})${this.src_Any})`)}get_ipv4_addr(){return this.cache.src_ip4??=new RegExp("(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9][0-9]|[0-9])[.]){3}(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9][0-9]|[0-9])")}get_ipv6_addr(){let e="[0-9A-Fa-f]{1,4}",t=`(?:(?:${e}:${e})|${this.get_ipv4_addr().source})`;return this.cache.src_ip6_addr??=new RegExp(`(?:(?:${e}:){6}${t}|::(?:${e}:){5}${t}|(?:${e})?::(?:${e}:){4}${t}|(?:(?:${e}:){0,1}${e})?::(?:${e}:){3}${t}|(?:(?:${e}:){0,2}${e})?::(?:${e}:){2}${t}|(?:(?:${e}:){0,3}${e})?::${e}:${t}|(?:(?:${e}:){0,4}${e})?::${t}|(?:(?:${e}:){0,5}${e})?::${e}|(?:(?:${e}:){0,6}${e})?::)`)}get_ipv6_url_host(){return this.cache.src_ip6_host??=new RegExp(`\\[${this.get_ipv6_addr().source}\\]`)}get_ipv6_mail_host(){return this.cache.src_ipv6_mail_host??=new RegExp(`\\[IPv6:${this.get_ipv6_addr().source}\\]`)}get_auth(){return this.cache.src_auth??=new RegExp(`(?:(?:(?!${this.src_ZCc}|[@/\\[\\]()]).){1,50}@)?`)}get_port(){return this.cache.src_port??=new RegExp("(?::(?:6(?:[0-4]\\d{3}|5(?:[0-4]\\d{2}|5(?:[0-2]\\d|3[0-5])))|[1-5]?\\d{1,4}))?")}get_host_terminator(){return this.cache.src_host_terminator??=new RegExp(`(?=$|${this.get_text_separators().source}|${this.src_ZPCc})(?!${this.opts["---"]?"-(?!--)|":"-|"}_|:\\d|\\.-|\\.(?!$|${this.src_ZPCc}))`)}get_path_terminator(){return this.cache.src_path_terminator??=new RegExp(`${this.src_ZPCc}|${this.get_text_separators().source}`)}get_path(){return this.cache.src_path??=new RegExp(`(?:[/?#](?:${this.nestedPairRE("[","]")}|${this.nestedPairRE("(",")")}|${this.nestedPairRE("{","}")}|\\"(?:(?!${this.src_ZCc}|["]).){1,100}\\"|\\'(?:(?!${this.src_ZCc}|[']).){1,100}\\'|\\'(?=${this.get_pseudo_letter().source}|[-])|\\.{2,20}[:]?[a-zA-Z0-9%/&]|\\.(?!${this.src_ZCc}|[.]|$)|`+(this.opts["---"]?"\\-(?!--(?:[^-]|$))(?:-{0,19})|":"\\-{1,20}|")+`,(?!${this.src_ZCc}|$)|;(?!${this.src_ZCc}|$)|\\!{1,20}(?!${this.src_ZCc}|[!]|$)|\\?(?!${this.src_ZCc}|[?]|$)|`+this.get_path_extra().source+`[\\\\/:%@#&=_~*]|(?!${this.get_path_terminator().source}).){1,${this.opts.maxLength}}|\\/)?`)}get_mail_name(){return this.cache.src_mail_name??=new RegExp("[-!#$%&'*+/=?^_`{|}~a-zA-Z0-9](?:[-!#$%&'*+/=?^_`{|}~a-zA-Z0-9]|[.](?=[-!#$%&'*+/=?^_`{|}~a-zA-Z0-9])){0,63}")}get_xn(){return this.cache.src_xn??=new RegExp("xn--[a-z0-9\\-]{1,59}")}get_tld(){if(this.cache.tld)return this.cache.tld;let e=[...new Set(this.opts.tlds||[])].sort().reverse().join("|");return this.cache.tld=new RegExp(`${e||"$#none#$"}|${this.get_xn().source}`),this.cache.tld}get_domain_root(){return this.cache.src_domain_root??=new RegExp("(?:"+this.get_xn().source+`|${this.get_pseudo_letter().source}{1,63})`)}get_domain(){return this.cache.src_domain??=new RegExp("(?:"+this.get_xn().source+`|(?:${this.get_pseudo_letter().source})|(?:${this.get_pseudo_letter().source}(?:-|${this.get_pseudo_letter().source}){0,61}${this.get_pseudo_letter().source}))`)}get_url_host_port(){return this.cache.url_host_port??=new RegExp("(?:"+this.get_ipv6_url_host().source+`|(?:(?:(?:${this.get_domain().source})\\.){0,10}${this.get_domain().source}))`+this.get_port().source+this.get_host_terminator().source)}get_fuzzy_url_host_port(){return this.cache.fuzzy_url_host_port??=new RegExp("(?:"+(this.opts.fuzzyIP?this.get_ipv4_addr().source+"|":"")+`(?:(?:(?:${this.get_domain().source})\\.){1,10}(?:${this.get_tld().source})))`+this.get_host_terminator().source)}get_mail_host(){return this.cache.src_mail_host??=new RegExp("(?:"+this.get_ipv6_mail_host().source+`|(?:(?:(?:${this.get_domain().source})\\.){0,4}${this.get_domain().source}))`+this.get_host_terminator().source)}get_fuzzy_mail_host(){return this.cache.src_fuzzy_mail_host??=new RegExp("(?:"+this.get_ipv6_mail_host().source+`|(?:(?:(?:${this.get_domain().source})[.]){1,4}${this.get_domain_root().source}))`+this.get_host_terminator().source)}get_path_extra(){return this.cache.src_path_extra??=new RegExp("")}get_fuzzy_mail_host_search(){return this.cache.mail_fuzzy_host_search??=new RegExp(`@${this.get_fuzzy_mail_host().source}`,"ig")}get_fuzzy_link_search(){return this.cache.link_fuzzy_search??=new RegExp(`(^|(?![.:/\\-_@])(?:[$+<=>^\`|｜]|${this.src_ZPCc}))(?:(?![$+<=>^\`|｜])${this.get_fuzzy_url_host_port().source}${this.get_path().source})`,"ig")}get_http_validator(){return this.cache.http_validator??=new RegExp("\\/\\/"+(this.opts.urlAuth?this.get_auth().source:"")+this.get_url_host_port().source+this.get_path().source,"iy")}get_relative_proto_validator(){return this.cache.relative_proto_validator??=new RegExp((this.opts.urlAuth?this.get_auth().source:"")+`(?:localhost|${this.get_ipv6_url_host().source}|(?:(?:${this.get_domain().source})[.]){1,10}${this.get_domain_root().source})`+this.get_port().source+this.get_host_terminator().source+this.get_path().source,"iy")}get_mail_name_validator(){return this.cache.mail_name_validator??=new RegExp(`(?:^|${this.get_text_separators().source}|"|\\(|${this.src_ZCc})(${this.get_mail_name().source})$`)}get_mailto_validator(){return this.cache.mailto_validator??=new RegExp(`${this.get_mail_name().source}@${this.get_mail_host().source}`,"iy")}get_schema_names(){return this.cache.schema_names??=new RegExp((this.opts.schema_names||[]).map(e=>this.escapeRE(e)).join("|"))}get_schema_search(){return this.cache.schema_search??=new RegExp(`(^|(?!_)(?:[><｜]|${this.src_ZPCc}))(${this.get_schema_names().source})`,"ig")}get_schema_at_start(){return this.cache.schema_at_start??=new RegExp(`^${this.get_schema_search().source}`,"i")}},Tn={validate:(e,t,n)=>{let i=n.re.get_http_validator();i.lastIndex=t;let r=i.exec(e);return r?r[0].length:0},normalize:(e,t)=>t.normalize(e)},Ys={"http:":Tn,"https:":Tn,"ftp:":Tn,"//":{validate:function(e,t,n){let i=n.re.get_relative_proto_validator();i.lastIndex=t;let r=i.exec(e);return r?t>=3&&e[t-3]===":"||t>=3&&e[t-3]==="/"?0:r[0].length:0},normalize:(e,t)=>t.normalize(e)},"mailto:":{validate:function(e,t,n){let i=n.re.get_mailto_validator();i.lastIndex=t;let r=i.exec(e);return r?r[0].length:0},normalize:(e,t)=>t.normalize(e)}},Vs="a:cdefgilmnoqrstuwxz|b:abdefghijmnorstvwyz|c:acdfghiklmnoruvwxyz|d:ejkmoz|e:cegrstu|f:ijkmor|g:abdefghilmnpqrstuwy|h:kmnrtu|i:delmnoqrst|j:emop|k:eghimnprwyz|l:abcikrstuvy|m:acdeghklmnopqrstuvwxyz|n:acefgilopruz|o:m|p:aefghklmnrstwy|q:a|r:eosuw|s:abcdeghijklmnortuvxyz|t:cdfghjklmnortvwz|u:agksyz|v:aceginu|w:fs|y:et|z:amw",Ks="biz|com|edu|gov|net|org|pro|web|xxx|aero|asia|coop|info|museum|name|shop|рф";function Qs(){let e=Ks.split("|");return Vs.split("|").forEach(t=>{let n=t.indexOf(":"),i=t.slice(0,n);for(let r of t.slice(n+1))e.push(i+r)}),e}var eu={fuzzyLink:!1,fuzzyEmail:!0,fuzzyIP:!1,"---":!1,tlds:Qs(),urlAuth:!1,maxLength:1e4},ri=class{schema;index;lastIndex;raw;text;url;constructor(e,t,n,i){let r=e.slice(n,i);this.schema=t.toLowerCase(),this.index=n,this.lastIndex=i,this.raw=r,this.text=r,this.url=r}},ii=class{__opts__;__schemas__;re;constructor(e={}){let{rebuilder:t,...n}=e;this.__opts__={...eu,...n},this.__schemas__={...Ys},this.re=t||new Gs,this.re.set({...this.__opts__,schema_names:Object.keys(this.__schemas__)})}add(e,t=null){if(!t)delete this.__schemas__[e];else{let n={normalize:(i,r)=>r.normalize(i),...t};this.__schemas__[e]=n}return this.re.set({...this.__opts__,schema_names:Object.keys(this.__schemas__)}),this}set(e={}){return this.__opts__={...this.__opts__,...e},this.re.set({...this.__opts__,schema_names:Object.keys(this.__schemas__)}),this}test(e){if(!e.length)return!1;let t,n;for(n=this.re.get_schema_search(),n.lastIndex=0;(t=n.exec(e))!==null;)if(this.testSchemaAt(e,t[2],n.lastIndex))return!0;if(this.__opts__.fuzzyLink&&this.__schemas__["http:"]&&(n=this.re.get_fuzzy_link_search(),n.lastIndex=0,n.exec(e)!==null))return!0;if(this.__opts__.fuzzyEmail&&this.__schemas__["mailto:"]&&e.indexOf("@")>=0){let i=this.re.get_fuzzy_mail_host_search(),r=this.re.get_mail_name_validator();for(i.lastIndex=0;(t=i.exec(e))!==null;){let o=e.slice(Math.max(0,t.index-65),t.index);if(r.test(o))return!0}}return!1}testSchemaAt(e,t,n){return this.__schemas__[t.toLowerCase()]?this.__schemas__[t.toLowerCase()].validate(e.slice(0,n+this.__opts__.maxLength),n,this):0}match(e){let t=[],n=this.re.get_schema_search(),i,r,o,u,a,c,l=!1,p=!1,h=!1,b=0;if(!e.length)return null;for(n.lastIndex=0,this.__opts__.fuzzyLink&&this.__schemas__["http:"]&&(i=this.re.get_fuzzy_link_search(),i.lastIndex=0),this.__opts__.fuzzyEmail&&this.__schemas__["mailto:"]&&(r=this.re.get_fuzzy_mail_host_search(),r.lastIndex=0,o=this.re.get_mail_name_validator());;){let _=Math.max(b-1,0);if(r&&o&&!h&&(!a||a.index<b))for(r.lastIndex<_&&(r.lastIndex=_);;){let v=r.exec(e);if(!v){h=!0,a=void 0;break}let x=o.exec(e.slice(Math.max(0,v.index-65),v.index));if(x){if(a={schema:"mailto:",index:v.index-x[1].length,lastIndex:v.index+v[0].length},a.index>=b)break;r.lastIndex<_&&(r.lastIndex=_)}}if(i&&!p&&(!u||u.index<b))for(i.lastIndex<_&&(i.lastIndex=_);;){let v=i.exec(e);if(!v){p=!0,u=void 0;break}if(u={schema:"",index:v.index+v[1].length,lastIndex:v.index+v[0].length},u.index>=b)break;i.lastIndex<_&&(i.lastIndex=_)}let d=a;(!d||u&&(u.index<d.index||u.index===d.index&&u.lastIndex>d.lastIndex))&&(d=u);let S;if(!l)for(;;){if(!c){n.lastIndex<_&&(n.lastIndex=_);let A=n.exec(e);if(!A){l=!0;break}c={schema:A[2],index:A.index+A[1].length,lastIndex:A.index+A[0].length}}if(c.index<b){c=void 0;continue}if(d&&c.index>d.index)break;let v=c;c=void 0;let x=this.testSchemaAt(e,v.schema,v.lastIndex);if(x){S={schema:v.schema,index:v.index,lastIndex:v.lastIndex+x};break}}let k=S;if((!k||a&&(a.index<k.index||a.index===k.index&&a.lastIndex>k.lastIndex))&&(k=a),(!k||u&&(u.index<k.index||u.index===k.index&&u.lastIndex>k.lastIndex))&&(k=u),!k)break;k===a?a=void 0:k===u&&(u=void 0);let D=new ri(e,k.schema,k.index,k.lastIndex);D.schema?this.__schemas__[D.schema].normalize(D,this):this.normalize(D),t.push(D),b=k.lastIndex}return t.length?t:null}matchAtStart(e){if(!e.length)return null;let t=this.re.get_schema_at_start().exec(e);if(!t)return null;let n=this.testSchemaAt(e,t[2],t[0].length);if(!n)return null;let i=new ri(e,t[2],t.index+t[1].length,t.index+t[0].length+n);return this.__schemas__[i.schema].normalize(i,this),i}tlds(e,t=!1){return e=Array.isArray(e)?e:[e],t?this.__opts__.tlds=this.__opts__.tlds.concat(e):this.__opts__.tlds=e,this.re.set({...this.__opts__,schema_names:Object.keys(this.__schemas__)}),this}normalize(e){e.schema||(e.url=`http://${e.url}`),e.schema==="mailto:"&&!/^mailto:/i.test(e.url)&&(e.url=`mailto:${e.url}`)}};var tu=/^xn--/,nu=/[^\0-\x7F]/,ru=/[\x2E\u3002\uFF0E\uFF61]/g,iu={overflow:"Overflow: input needs wider integers to process","not-basic":"Illegal input >= 0x80 (not a basic code point)","invalid-input":"Invalid input"},Fn=35,he=Math.floor,Sn=String.fromCharCode;function Ce(e){throw new RangeError(iu[e])}function ou(e,t){let n=[],i=e.length;for(;i--;)n[i]=t(e[i]);return n}function si(e,t){let n=e.split("@"),i="";n.length>1&&(i=n[0]+"@",e=n[1]),e=e.replace(ru,".");let r=e.split("."),o=ou(r,t).join(".");return i+o}function ui(e){let t=[],n=0,i=e.length;for(;n<i;){let r=e.charCodeAt(n++);if(r>=55296&&r<=56319&&n<i){let o=e.charCodeAt(n++);(o&64512)==56320?t.push(((r&1023)<<10)+(o&1023)+65536):(t.push(r),n--)}else t.push(r)}return t}var su=e=>String.fromCodePoint(...e),uu=function(e){return e>=48&&e<58?26+(e-48):e>=65&&e<91?e-65:e>=97&&e<123?e-97:36},oi=function(e,t){return e+22+75*(e<26)-((t!=0)<<5)},ai=function(e,t,n){let i=0;for(e=n?he(e/700):e>>1,e+=he(e/t);e>Fn*26>>1;i+=36)e=he(e/Fn);return he(i+(Fn+1)*e/(e+38))},ci=function(e){let t=[],n=e.length,i=0,r=128,o=72,u=e.lastIndexOf("-");u<0&&(u=0);for(let a=0;a<u;++a)e.charCodeAt(a)>=128&&Ce("not-basic"),t.push(e.charCodeAt(a));for(let a=u>0?u+1:0;a<n;){let c=i;for(let p=1,h=36;;h+=36){a>=n&&Ce("invalid-input");let b=uu(e.charCodeAt(a++));b>=36&&Ce("invalid-input"),b>he((2147483647-i)/p)&&Ce("overflow"),i+=b*p;let _=h<=o?1:h>=o+26?26:h-o;if(b<_)break;let d=36-_;p>he(2147483647/d)&&Ce("overflow"),p*=d}let l=t.length+1;o=ai(i-c,l,c==0),he(i/l)>2147483647-r&&Ce("overflow"),r+=he(i/l),i%=l,t.splice(i++,0,r)}return String.fromCodePoint(...t)},li=function(e){let t=[];e=ui(e);let n=e.length,i=128,r=0,o=72;for(let c of e)c<128&&t.push(Sn(c));let u=t.length,a=u;for(u&&t.push("-");a<n;){let c=2147483647;for(let p of e)p>=i&&p<c&&(c=p);let l=a+1;c-i>he((2147483647-r)/l)&&Ce("overflow"),r+=(c-i)*l,i=c;for(let p of e)if(p<i&&++r>2147483647&&Ce("overflow"),p===i){let h=r;for(let b=36;;b+=36){let _=b<=o?1:b>=o+26?26:b-o;if(h<_)break;let d=h-_,S=36-_;t.push(Sn(oi(_+d%S,0))),h=he(d/S)}t.push(Sn(oi(h,0))),o=ai(r,l,a===u),r=0,++a}++r,++i}return t.join("")},au=function(e){return si(e,function(t){return tu.test(t)?ci(t.slice(4).toLowerCase()):t})},cu=function(e){return si(e,function(t){return nu.test(t)?"xn--"+li(t):t})},lu={version:"2.3.1",ucs2:{decode:ui,encode:su},decode:ci,encode:li,toASCII:cu,toUnicode:au};var In=lu;var fi=Object.defineProperty,Ei=(e,t)=>{let n={};for(var i in e)fi(n,i,{get:e[i],enumerable:!0});return t||fi(n,Symbol.toStringTag,{value:"Module"}),n},fu=Ei({arrayReplaceAt:()=>hu,asciiTrim:()=>Bt,callable:()=>Ci,escapeHtml:()=>De,escapeRE:()=>xu,fromCodePoint:()=>it,isMdAsciiPunct:()=>ut,isPunctChar:()=>vi,isPunctCharCode:()=>st,isSpace:()=>P,isValidEntityCode:()=>zn,isWhiteSpace:()=>ot,lib:()=>Eu,normalizeReference:()=>Ot,unescapeAll:()=>Ue,unescapeMd:()=>_u});function Ci(e){let t=function(...n){return Reflect.construct(e,n,new.target&&new.target!==t?new.target:e)};return Object.defineProperty(t,"name",{value:e.name}),Object.setPrototypeOf(t,e),t.prototype=e.prototype,t}function hu(e,t,n){return[].concat(e.slice(0,t),n,e.slice(t+1))}function zn(e){return!(e>=55296&&e<=57343||e>=64976&&e<=65007||(e&65535)===65535||(e&65535)===65534||e>=0&&e<=8||e===11||e>=14&&e<=31||e>=127&&e<=159||e>1114111)}function it(e){if(e>65535){e-=65536;let t=55296+(e>>10),n=56320+(e&1023);return String.fromCharCode(t,n)}return String.fromCharCode(e)}var Di=/\\([!"#$%&'()*+,\-./:;<=>?@[\\\]^_`{|}~])/g,du=new RegExp(`${Di.source}|${/&([a-z#][a-z0-9]{1,31});/gi.source}`,"gi"),pu=/^#((?:x[a-f0-9]{1,8}|[0-9]{1,8}))$/i;function mu(e,t){if(t.charCodeAt(0)===35&&pu.test(t)){let i=t[1].toLowerCase()==="x"?parseInt(t.slice(2),16):parseInt(t.slice(1),10);return zn(i)?it(i):e}let n=It(e);return n!==e?n:e}function _u(e){return e.indexOf("\\")<0?e:e.replace(Di,"$1")}function Ue(e){return e.indexOf("\\")<0&&e.indexOf("&")<0?e:e.replace(du,function(t,n,i){return n||mu(t,i)})}var gu=/[&<>"]/,bu=/[&<>"]/g,Ru={"&":"&amp;","<":"&lt;",">":"&gt;",'"':"&quot;"};function Au(e){return Ru[e]}function De(e){return gu.test(e)?e.replace(bu,Au):e}var ku=/[.?*+^$[\]\\(){}|-]/g;function xu(e){return e.replace(ku,"\\$&")}function P(e){switch(e){case 9:case 32:return!0}return!1}function ot(e){if(e>=8192&&e<=8202)return!0;switch(e){case 9:case 10:case 11:case 12:case 13:case 32:case 160:case 5760:case 8239:case 8287:case 12288:return!0}return!1}function vi(e){return nt.test(e)||Cn.test(e)}function st(e){return vi(it(e))}function ut(e){switch(e){case 33:case 34:case 35:case 36:case 37:case 38:case 39:case 40:case 41:case 42:case 43:case 44:case 45:case 46:case 47:case 58:case 59:case 60:case 61:case 62:case 63:case 64:case 91:case 92:case 93:case 94:case 95:case 96:case 123:case 124:case 125:case 126:return!0;default:return!1}}function Ot(e){return e=e.trim().replace(/\s+/g," "),e.toLowerCase().toUpperCase()}function hi(e){return e===32||e===9||e===10||e===13}function Bt(e){let t=0;for(;t<e.length&&hi(e.charCodeAt(t));t++);let n=e.length-1;for(;n>=t&&hi(e.charCodeAt(n));n--);return e.slice(t,n+1)}var Eu={mdurl:kn,ucmicro:vn};function Cu(e,t,n){let i,r,o,u,a=e.posMax,c=e.pos;for(e.pos=t+1,i=1;e.pos<a;){if(o=e.src.charCodeAt(e.pos),o===93&&(i--,i===0)){r=!0;break}if(u=e.pos,e.md.inline.skipToken(e),o===91){if(u===e.pos-1)i++;else if(n)return e.pos=c,-1}}let l=-1;return r&&(l=e.pos),e.pos=c,l}function Du(e,t,n){let i,r=t,o={ok:!1,pos:0,str:""};if(e.charCodeAt(r)===60){for(r++;r<n;){if(i=e.charCodeAt(r),i===10||i===60)return o;if(i===62)return o.pos=r+1,o.str=Ue(e.slice(t+1,r)),o.ok=!0,o;if(i===92&&r+1<n){r+=2;continue}r++}return o}let u=0;for(;r<n&&(i=e.charCodeAt(r),!(i===32||i<32||i===127));){if(i===92&&r+1<n){if(e.charCodeAt(r+1)===32){r++;continue}r+=2;continue}if(i===40&&(u++,u>32))return o;if(i===41){if(u===0)break;u--}r++}return t===r||u!==0||(o.str=Ue(e.slice(t,r)),o.pos=r,o.ok=!0),o}function vu(e,t,n,i){let r,o=t,u={ok:!1,can_continue:!1,pos:0,str:"",marker:0};if(i)u.str=i.str,u.marker=i.marker;else{if(o>=n)return u;let a=e.charCodeAt(o);if(a!==34&&a!==39&&a!==40)return u;t++,o++,a===40&&(a=41),u.marker=a}for(;o<n;){if(r=e.charCodeAt(o),r===u.marker)return u.pos=o+1,u.str+=Ue(e.slice(t,o)),u.ok=!0,u;if(r===40&&u.marker===41)return u;r===92&&o+1<n&&o++,o++}return u.can_continue=!0,u.str+=Ue(e.slice(t,o)),u}var wu=Ei({parseLinkDestination:()=>Du,parseLinkLabel:()=>Cu,parseLinkTitle:()=>vu});function at(e){"@babel/helpers - typeof";return at=typeof Symbol=="function"&&typeof Symbol.iterator=="symbol"?function(t){return typeof t}:function(t){return t&&typeof Symbol=="function"&&t.constructor===Symbol&&t!==Symbol.prototype?"symbol":typeof t},at(e)}function yu(e,t){if(at(e)!="object"||!e)return e;var n=e[Symbol.toPrimitive];if(n!==void 0){var i=n.call(e,t||"default");if(at(i)!="object")return i;throw new TypeError("@@toPrimitive must return a primitive value.")}return(t==="string"?String:Number)(e)}function Tu(e){var t=yu(e,"string");return at(t)=="symbol"?t:t+""}function w(e,t,n){return(t=Tu(t))in e?Object.defineProperty(e,t,{value:n,enumerable:!0,configurable:!0,writable:!0}):e[t]=n,e}var Ie=class{constructor(e,t,n){w(this,"map",null),w(this,"level",0),w(this,"children",null),w(this,"content",""),w(this,"markup",""),w(this,"info",""),w(this,"block",!1),w(this,"hidden",!1),this.type=e,this.tag=t,this.attrs=null,this.nesting=n,this.meta=null}attrIndex(e){if(!this.attrs)return-1;let t=this.attrs;for(let n=0,i=t.length;n<i;n++)if(t[n][0]===e)return n;return-1}attrPush(e){this.attrs?this.attrs.push(e):this.attrs=[e]}attrSet(e,t){let n=this.attrIndex(e),i=[e,t];n<0?this.attrPush(i):this.attrs[n]=i}attrGet(e){let t=this.attrIndex(e),n=null;return t>=0&&(n=this.attrs[t][1]),n}attrJoin(e,t){let n=this.attrIndex(e);n<0?this.attrPush([e,t]):this.attrs[n][1]=`${this.attrs[n][1]} ${t}`}},ct=class{constructor(){w(this,"__rules__",[]),w(this,"__cache__",null)}__find__(e){for(let t=0;t<this.__rules__.length;t++)if(this.__rules__[t].name===e)return t;return-1}__compile__(){let e=new Set;this.__rules__.forEach(t=>{t.enabled&&t.alt.forEach(n=>{n&&e.add(n)})}),this.__cache__=Object.create(null),this.__cache__[""]=[],this.__rules__.forEach(t=>{t.enabled&&this.__cache__[""].push(t.fn)}),e.forEach(t=>{this.__cache__[t]=[],this.__rules__.forEach(n=>{n.enabled&&n.alt.indexOf(t)>=0&&this.__cache__[t].push(n.fn)})})}at(e,t,n={}){let i=this.__find__(e);if(i===-1)throw new Error(`Parser rule not found: ${e}`);this.__rules__[i].fn=t,this.__rules__[i].alt=n.alt||[],this.__cache__=null}before(e,t,n,i={}){let r=this.__find__(e);if(r===-1)throw new Error(`Parser rule not found: ${e}`);this.__rules__.splice(r,0,{name:t,enabled:!0,fn:n,alt:i.alt||[]}),this.__cache__=null}after(e,t,n,i={}){let r=this.__find__(e);if(r===-1)throw new Error(`Parser rule not found: ${e}`);this.__rules__.splice(r+1,0,{name:t,enabled:!0,fn:n,alt:i.alt||[]}),this.__cache__=null}push(e,t,n={}){this.__rules__.push({name:e,enabled:!0,fn:t,alt:n.alt||[]}),this.__cache__=null}enable(e,t=!1){Array.isArray(e)||(e=[e]);let n=[];return e.forEach(i=>{let r=this.__find__(i);if(r<0){if(t)return;throw new Error(`Rules manager: invalid rule name ${i}`)}this.__rules__[r].enabled=!0,n.push(i)}),this.__cache__=null,n}enableOnly(e,t=!1){Array.isArray(e)||(e=[e]),this.__rules__.forEach(n=>{n.enabled=!1}),this.enable(e,t)}disable(e,t=!1){Array.isArray(e)||(e=[e]);let n=[];return e.forEach(i=>{let r=this.__find__(i);if(r<0){if(t)return;throw new Error(`Rules manager: invalid rule name ${i}`)}this.__rules__[r].enabled=!1,n.push(i)}),this.__cache__=null,n}getRules(e){return this.__cache__||this.__compile__(),this.__cache__[e]||[]}},de={};de.code_inline=function(e,t,n,i,r){let o=e[t];return`<code${r.renderAttrs(o)}>${De(o.content)}</code>`};de.code_block=function(e,t,n,i,r){let o=e[t];return`<pre${r.renderAttrs(o)}><code>${De(e[t].content)}</code></pre>
`};de.fence=function(e,t,n,i,r){let o=e[t],u=o.info?Ue(o.info).trim():"",a="",c="";if(u){let p=u.split(/(\s+)/g);a=p[0],c=p.slice(2).join("")}let l;if(n.highlight?l=n.highlight(o.content,a,c)||De(o.content):l=De(o.content),l.indexOf("<pre")===0)return l+`
`;if(u){let p=o.attrIndex("class"),h=o.attrs?o.attrs.slice():[];p<0?h.push(["class",`${n.langPrefix}${a}`]):(h[p]=[h[p][0],h[p][1]],h[p][1]+=` ${n.langPrefix}${a}`);let b={attrs:h};return`<pre><code${r.renderAttrs(b)}>${l}</code></pre>
`}return`<pre><code${r.renderAttrs(o)}>${l}</code></pre>
`};de.image=function(e,t,n,i,r){let o=e[t];return o.attrs[o.attrIndex("alt")][1]=r.renderInlineAsText(o.children,n,i),r.renderToken(e,t,n)};de.hardbreak=function(e,t,n){return n.xhtmlOut?`<br />
`:`<br>
`};de.softbreak=function(e,t,n){return n.breaks?n.xhtmlOut?`<br />
`:`<br>
`:`
`};de.text=function(e,t){return De(e[t].content)};de.html_block=function(e,t){return e[t].content};de.html_inline=function(e,t){return e[t].content};var wi=class{constructor(){w(this,"rules",Object.assign({},de))}renderAttrs(e){let t,n,i;if(!e.attrs)return"";for(i="",t=0,n=e.attrs.length;t<n;t++)i+=` ${De(e.attrs[t][0])}="${De(String(e.attrs[t][1]))}"`;return i}renderToken(e,t,n){let i=e[t],r="";if(i.hidden)return"";let o=t-1;for(;o>=0&&e[o].hidden&&e[o].nesting===0;)o--;i.block&&i.nesting!==-1&&o>=0&&e[o].hidden&&e[o].nesting===-1&&(r+=`
`),r+=(i.nesting===-1?"</":"<")+i.tag,r+=this.renderAttrs(i),i.nesting===0&&n.xhtmlOut&&(r+=" /");let u=!1;if(i.block&&(u=!0,i.nesting===1)){let a=t+1;for(;a<e.length&&e[a].hidden&&e[a].nesting===0;)a++;if(a<e.length){let c=e[a];(c.type==="inline"||c.hidden||c.nesting===-1&&c.tag===i.tag)&&(u=!1)}}return r+=u?`>
`:">",r}renderInline(e,t,n){let i="",r=this.rules;for(let o=0,u=e.length;o<u;o++){let a=e[o].type;typeof r[a]<"u"?i+=r[a](e,o,t,n,this):i+=this.renderToken(e,o,t)}return i}renderInlineAsText(e,t,n){let i="";for(let r=0,o=e.length;r<o;r++)switch(e[r].type){case"text":case"code_inline":i+=e[r].content;break;case"image":i+=this.renderInlineAsText(e[r].children,t,n);break;case"html_inline":case"html_block":i+=e[r].content;break;case"softbreak":case"hardbreak":i+=`
`}return i}render(e,t,n){let i="",r=this.rules;for(let o=0,u=e.length;o<u;o++){let a=e[o].type;a==="inline"?i+=this.renderInline(e[o].children,t,n):typeof r[a]<"u"?i+=r[a](e,o,t,n,this):i+=this.renderToken(e,o,t)}return i}},yi=class{constructor(e,t,n){w(this,"tokens",[]),w(this,"inlineMode",!1),w(this,"Token",Ie),this.src=e,this.env=n,this.md=t}},Fu=/\r\n?/g,Su=/\0/g;function Iu(e){let t;t=e.src.replace(Fu,`
`),t=t.replace(Su,"�"),e.src=t}function Lu(e){let t;e.inlineMode?(t=new e.Token("inline","",0),t.content=e.src,t.map=[0,1],t.children=[],e.tokens.push(t)):e.md.block.parse(e.src,e.md,e.env,e.tokens)}function Mu(e){let t=e.tokens,n=0;for(let i=0;i<t.length;i++)t[i].type!=="reference_definition"&&(i!==n&&(t[n]=t[i]),n++);t.length!==n&&(t.length=n)}function Nu(e){let t=e.tokens;for(let n=0,i=t.length;n<i;n++){let r=t[n];r.type==="inline"&&e.md.inline.parse(r.content,e.md,e.env,r.children)}}function Ou(e){return/^<a[>\s]/i.test(e)}function Bu(e){return/^<\/a\s*>/i.test(e)}function zu(e){let t=e.tokens;if(e.md.options.linkify)for(let n=0,i=t.length;n<i;n++){if(t[n].type!=="inline"||!e.md.linkify.test(t[n].content))continue;let r=t[n].children,o=[],u=0;for(let a=r.length-1;a>=0;a--){let c=r[a];if(c.type==="link_close"){for(a--;r[a].level!==c.level&&r[a].type!=="link_open";)a--;continue}if(c.type==="html_inline"&&(Ou(c.content)&&u>0&&u--,Bu(c.content)&&u++),!(u>0)&&c.type==="text"&&e.md.linkify.test(c.content)){let l=c.content,p=e.md.linkify.match(l),h=[],b=c.level,_=0;p.length>0&&p[0].index===0&&a>0&&r[a-1].type==="text_special"&&(p=p.slice(1));for(let d=0;d<p.length;d++){let S=p[d].url,k=e.md.normalizeLink(S);if(!e.md.validateLink(k))continue;let D=p[d].text;p[d].schema?p[d].schema==="mailto:"&&!/^mailto:/i.test(D)?D=e.md.normalizeLinkText(`mailto:${D}`).replace(/^mailto:/,""):D=e.md.normalizeLinkText(D):D=e.md.normalizeLinkText(`http://${D}`).replace(/^http:\/\//,"");let v=p[d].index;if(v>_){let y=new e.Token("text","",0);y.content=l.slice(_,v),y.level=b,h.push(y)}let x=new e.Token("link_open","a",1);x.attrs=[["href",k]],x.level=b++,x.markup="linkify",x.info="auto",h.push(x);let A=new e.Token("text","",0);A.content=D,A.level=b,h.push(A);let C=new e.Token("link_close","a",-1);C.level=--b,C.markup="linkify",C.info="auto",h.push(C),_=p[d].lastIndex}if(_<l.length){let d=new e.Token("text","",0);d.content=l.slice(_),d.level=b,h.push(d)}o.push({index:a,nodes:h})}}if(o.length>0){let a=r.length;for(let h of o)a+=h.nodes.length-1;let c=new Array(a),l=0,p=0;o.reverse();for(let h=0;h<r.length;h++){let b=o[l];if(b?.index===h){for(let _ of b.nodes)c[p++]=_;l++}else c[p++]=r[h]}t[n].children=c}}}var Ti=/\+-|\.\.|\?\?\?\?|!!!!|,,|--/,Pu=/\((c|tm|r)\)/i,ju=/\((c|tm|r)\)/gi,Uu={c:"©",r:"®",tm:"™"};function Ju(e,t){return Uu[t.toLowerCase()]}function Wu(e){let t=0;for(let n=e.length-1;n>=0;n--){let i=e[n];i.type==="text"&&!t&&(i.content=i.content.replace(ju,Ju)),i.type==="link_open"&&i.info==="auto"&&t--,i.type==="link_close"&&i.info==="auto"&&t++}}function Hu(e){let t=0;for(let n=e.length-1;n>=0;n--){let i=e[n];i.type==="text"&&!t&&Ti.test(i.content)&&(i.content=i.content.replace(/\+-/g,"±").replace(/\.{2,}/g,"…").replace(/([?!])…/g,"$1..").replace(/([?!]){4,}/g,"$1$1$1").replace(/,{2,}/g,",").replace(/(^|[^-])---(?=[^-]|$)/gm,"$1—").replace(/(^|\s)--(?=\s|$)/gm,"$1–").replace(/(^|[^-\s])--(?=[^-\s]|$)/gm,"$1–")),i.type==="link_open"&&i.info==="auto"&&t--,i.type==="link_close"&&i.info==="auto"&&t++}}function $u(e){let t;if(e.md.options.typographer)for(t=e.tokens.length-1;t>=0;t--)e.tokens[t].type==="inline"&&(Pu.test(e.tokens[t].content)&&Wu(e.tokens[t].children),Ti.test(e.tokens[t].content)&&Hu(e.tokens[t].children))}var qu=/['"]/,di=/['"]/g,pi="’",Zu=1e3;function mi(e,t,n){for(;e.length>n;){let i=e.pop();i.isSingleQuote?t.single=i.prevSameQuoteIdx:t.double=i.prevSameQuoteIdx}}function Lt(e,t,n,i){e[t]||(e[t]=[]),e[t].push({pos:n,ch:i})}function Xu(e,t){let n="",i=0;t.sort((r,o)=>r.pos-o.pos);for(let r=0;r<t.length;r++){let o=t[r];n+=e.slice(i,o.pos)+o.ch,i=o.pos+1}return n+e.slice(i)}function Gu(e,t){let n,i=[],r={single:-1,double:-1},o={};for(let u=0;u<e.length;u++){let a=e[u],c=e[u].level;for(n=i.length-1;n>=0&&!(i[n].level<=c);n--);if(mi(i,r,n+1),a.type!=="text")continue;let l=a.content,p=0,h=l.length;e:for(;p<h;){di.lastIndex=p;let b=di.exec(l);if(!b)break;let _=!0,d=!0;p=b.index+1;let S=b[0]==="'",k=32;if(b.index-1>=0)k=l.charCodeAt(b.index-1);else for(n=u-1;n>=0&&!(e[n].type==="softbreak"||e[n].type==="hardbreak");n--)if(e[n].content){k=e[n].content.charCodeAt(e[n].content.length-1);break}let D=32;if(p<h)D=l.charCodeAt(p);else for(n=u+1;n<e.length&&!(e[n].type==="softbreak"||e[n].type==="hardbreak");n++)if(e[n].content){D=e[n].content.charCodeAt(0);break}let v=ut(k)||st(k),x=ut(D)||st(D),A=ot(k),C=ot(D);if(C?_=!1:x&&(A||v||(_=!1)),A?d=!1:v&&(C||x||(d=!1)),D===34&&b[0]==='"'&&k>=48&&k<=57&&(d=_=!1),_&&d&&(_=v,d=x),!_&&!d){S&&Lt(o,u,b.index,pi);continue}if(d&&(n=S?r.single:r.double,n>=0&&i[n].level===c)){let y=i[n],L,M;S?(L=t.md.options.quotes[2],M=t.md.options.quotes[3]):(L=t.md.options.quotes[0],M=t.md.options.quotes[1]),Lt(o,u,b.index,M),Lt(o,y.tokenIdx,y.contentPos,L),mi(i,r,n);continue e}if(_){if(i.length>=Zu)return;i.push({tokenIdx:u,contentPos:b.index,isSingleQuote:S,level:c,prevSameQuoteIdx:S?r.single:r.double}),S?r.single=i.length-1:r.double=i.length-1}else d&&S&&Lt(o,u,b.index,pi)}}Object.keys(o).forEach(function(u){let a=Number(u);e[a].content=Xu(e[a].content,o[u])})}function Yu(e){if(e.md.options.typographer)for(let t=e.tokens.length-1;t>=0;t--)e.tokens[t].type!=="inline"||!qu.test(e.tokens[t].content)||Gu(e.tokens[t].children,e)}function Vu(e){let t,n,i=e.length;for(t=0;t<i;t++)e[t].type==="text_special"&&(e[t].type="text");for(t=n=0;t<i;t++)e[t].type==="text"&&t+1<i&&e[t+1].type==="text"?e[t+1].content=e[t].content+e[t+1].content:(t!==n&&(e[n]=e[t]),n++);t!==n&&(e.length=n)}function Ku(e){let t,n,i=e.tokens,r=i.length;for(let o=0;o<r;o++){if(i[o].type!=="inline")continue;let u=i[o].children,a=u.length;for(t=0;t<a;t++)u[t].type==="text_special"&&(u[t].type="text"),u[t].children&&Vu(u[t].children);for(t=n=0;t<a;t++)u[t].type==="text"&&t+1<a&&u[t+1].type==="text"?u[t+1].content=u[t].content+u[t+1].content:(t!==n&&(u[n]=u[t]),n++);t!==n&&(u.length=n)}}var Ln=[["normalize",Iu],["block",Lu],["strip_references",Mu],["inline",Nu],["linkify",zu],["replacements",$u],["smartquotes",Yu],["text_join",Ku]],Fi=class{constructor(){w(this,"ruler",new ct),w(this,"State",yi);for(let e=0;e<Ln.length;e++)this.ruler.push(Ln[e][0],Ln[e][1])}process(e){let t=this.ruler.getRules("");for(let n=0,i=t.length;n<i;n++)t[n](e)}},Si=class{constructor(e,t,n,i){w(this,"bMarks",[]),w(this,"eMarks",[]),w(this,"tShift",[]),w(this,"sCount",[]),w(this,"bsCount",[]),w(this,"blkIndent",0),w(this,"line",0),w(this,"lineMax",0),w(this,"tight",!1),w(this,"listIndent",-1),w(this,"parentType","root"),w(this,"level",0),w(this,"Token",Ie),this.src=e,this.md=t,this.env=n,this.tokens=i;let r=this.src;for(let o=0,u=0,a=0,c=0,l=r.length,p=!1;u<l;u++){let h=r.charCodeAt(u);if(!p)if(P(h)){a++,h===9?c+=4-c%4:c++;continue}else p=!0;(h===10||u===l-1)&&(h!==10&&u++,this.bMarks.push(o),this.eMarks.push(u),this.tShift.push(a),this.sCount.push(c),this.bsCount.push(0),p=!1,a=0,c=0,o=u+1)}this.bMarks.push(r.length),this.eMarks.push(r.length),this.tShift.push(0),this.sCount.push(0),this.bsCount.push(0),this.lineMax=this.bMarks.length-1}push(e,t,n){let i=new Ie(e,t,n);return i.block=!0,n<0&&this.level--,i.level=this.level,n>0&&this.level++,this.tokens.push(i),i}isEmpty(e){return this.bMarks[e]+this.tShift[e]>=this.eMarks[e]}skipEmptyLines(e){for(let t=this.lineMax;e<t&&!(this.bMarks[e]+this.tShift[e]<this.eMarks[e]);e++);return e}skipSpaces(e){for(let t=this.src.length;e<t&&P(this.src.charCodeAt(e));e++);return e}skipSpacesBack(e,t){if(e<=t)return e;for(;e>t;)if(!P(this.src.charCodeAt(--e)))return e+1;return e}skipChars(e,t){for(let n=this.src.length;e<n&&this.src.charCodeAt(e)===t;e++);return e}skipCharsBack(e,t,n){if(e<=n)return e;for(;e>n;)if(t!==this.src.charCodeAt(--e))return e+1;return e}getLines(e,t,n,i){if(e>=t)return"";let r=new Array(t-e);for(let o=0,u=e;u<t;u++,o++){let a=0,c=this.bMarks[u],l=c,p;for(u+1<t||i?p=this.eMarks[u]+1:p=this.eMarks[u];l<p&&a<n;){let h=this.src.charCodeAt(l);if(P(h))h===9?a+=4-(a+this.bsCount[u])%4:a++;else if(l-c<this.tShift[u])a++;else break;l++}a>n?r[o]=new Array(a-n+1).join(" ")+this.src.slice(l,p):r[o]=this.src.slice(l,p)}return r.join("")}},Qu=65536;function Mn(e,t){let n=e.bMarks[t]+e.tShift[t],i=e.eMarks[t];return e.src.slice(n,i)}function _i(e){let t=[],n=e.length,i=0,r=e.charCodeAt(i),o=!1,u=0,a="";for(;i<n;)r===124&&(o?(a+=e.substring(u,i-1),u=i):(t.push(a+e.substring(u,i)),a="",u=i+1)),o=r===92,i++,r=e.charCodeAt(i);return t.push(a+e.substring(u)),t}function ea(e,t,n,i){if(t+2>n)return!1;let r=t+1;if(e.sCount[r]<e.blkIndent||e.sCount[r]-e.blkIndent>=4)return!1;let o=e.bMarks[r]+e.tShift[r];if(o>=e.eMarks[r])return!1;let u=e.src.charCodeAt(o++);if(u!==124&&u!==45&&u!==58||o>=e.eMarks[r])return!1;let a=e.src.charCodeAt(o++);if(a!==124&&a!==45&&a!==58&&!P(a)||u===45&&P(a))return!1;for(;o<e.eMarks[r];){let A=e.src.charCodeAt(o);if(A!==124&&A!==45&&A!==58&&!P(A))return!1;o++}let c=Mn(e,t+1),l=c.split("|"),p=[];for(let A=0;A<l.length;A++){let C=l[A].trim();if(!C){if(A===0||A===l.length-1)continue;return!1}if(!/^:?-+:?$/.test(C))return!1;C.charCodeAt(C.length-1)===58?p.push(C.charCodeAt(0)===58?"center":"right"):C.charCodeAt(0)===58?p.push("left"):p.push("")}if(c=Mn(e,t).trim(),c.indexOf("|")===-1||e.sCount[t]-e.blkIndent>=4)return!1;l=_i(c),l.length&&l[0]===""&&l.shift(),l.length&&l[l.length-1]===""&&l.pop();let h=l.length;if(h===0||h!==p.length)return!1;if(i)return!0;let b=e.parentType;e.parentType="table";let _=e.md.block.ruler.getRules("blockquote"),d=e.push("table_open","table",1),S=[t,0];d.map=S;let k=e.push("thead_open","thead",1);k.map=[t,t+1];let D=e.push("tr_open","tr",1);D.map=[t,t+1];for(let A=0;A<l.length;A++){let C=e.push("th_open","th",1);p[A]&&(C.attrs=[["style",`text-align:${p[A]}`]]);let y=e.push("inline","",0);y.content=l[A].trim(),y.children=[],e.push("th_close","th",-1)}e.push("tr_close","tr",-1),e.push("thead_close","thead",-1);let v,x=0;for(r=t+2;r<n&&!(e.sCount[r]<e.blkIndent);r++){let A=!1;for(let y=0,L=_.length;y<L;y++)if(_[y](e,r,n,!0)){A=!0;break}if(A||(c=Mn(e,r).trim(),!c)||e.sCount[r]-e.blkIndent>=4||(l=_i(c),l.length&&l[0]===""&&l.shift(),l.length&&l[l.length-1]===""&&l.pop(),x+=h-l.length,x>Qu))break;if(r===t+2){let y=e.push("tbody_open","tbody",1);y.map=v=[t+2,0]}let C=e.push("tr_open","tr",1);C.map=[r,r+1];for(let y=0;y<h;y++){let L=e.push("td_open","td",1);p[y]&&(L.attrs=[["style",`text-align:${p[y]}`]]);let M=e.push("inline","",0);M.content=l[y]?l[y].trim():"",M.children=[],e.push("td_close","td",-1)}e.push("tr_close","tr",-1)}return v&&(e.push("tbody_close","tbody",-1),v[1]=r),e.push("table_close","table",-1),S[1]=r,e.parentType=b,e.line=r,!0}function ta(e,t,n){if(e.sCount[t]-e.blkIndent<4)return!1;let i=t+1,r=i;for(;i<n;){if(e.isEmpty(i)){i++;continue}if(e.sCount[i]-e.blkIndent>=4){i++,r=i;continue}break}e.line=r;let o=e.push("code_block","code",0);return o.content=e.getLines(t,r,4+e.blkIndent,!1)+`
`,o.map=[t,e.line],!0}function na(e,t,n,i){let r=e.bMarks[t]+e.tShift[t],o=e.eMarks[t];if(e.sCount[t]-e.blkIndent>=4||r+3>o)return!1;let u=e.src.charCodeAt(r);if(u!==126&&u!==96)return!1;let a=r;r=e.skipChars(r,u);let c=r-a;if(c<3)return!1;let l=e.src.slice(a,r),p=e.src.slice(r,o);if(u===96&&p.indexOf(String.fromCharCode(u))>=0)return!1;if(i)return!0;let h=t,b=!1;for(;h++,!(h>=n||(r=a=e.bMarks[h]+e.tShift[h],o=e.eMarks[h],r<o&&e.sCount[h]<e.blkIndent));)if(e.src.charCodeAt(r)===u&&!(e.sCount[h]-e.blkIndent>=4)&&(r=e.skipChars(r,u),!(r-a<c)&&(r=e.skipSpaces(r),!(r<o)))){b=!0;break}c=e.sCount[t],e.line=h+(b?1:0);let _=e.push("fence","code",0);return _.info=p,_.content=e.getLines(t+1,h,c,!0),_.markup=l,_.map=[t,e.line],!0}function ra(e,t,n,i){let r=e.bMarks[t]+e.tShift[t],o=e.eMarks[t],u=e.lineMax;if(e.sCount[t]-e.blkIndent>=4||e.src.charCodeAt(r)!==62)return!1;if(i)return!0;let a=[],c=[],l=[],p=[],h=e.md.block.ruler.getRules("blockquote"),b=e.parentType;e.parentType="blockquote";let _=!1,d;for(d=t;d<n;d++){let x=e.sCount[d]<e.blkIndent;if(r=e.bMarks[d]+e.tShift[d],o=e.eMarks[d],r>=o)break;if(e.src.charCodeAt(r++)===62&&!x){let C=e.sCount[d]+1,y,L;e.src.charCodeAt(r)===32?(r++,C++,L=!1,y=!0):e.src.charCodeAt(r)===9?(y=!0,(e.bsCount[d]+C)%4===3?(r++,C++,L=!1):L=!0):y=!1;let M=C;for(a.push(e.bMarks[d]),e.bMarks[d]=r;r<o;){let I=e.src.charCodeAt(r);if(P(I))I===9?M+=4-(M+e.bsCount[d]+(L?1:0))%4:M++;else break;r++}_=r>=o,c.push(e.bsCount[d]),e.bsCount[d]=e.sCount[d]+1+(y?1:0),l.push(e.sCount[d]),e.sCount[d]=M-C,p.push(e.tShift[d]),e.tShift[d]=r-e.bMarks[d];continue}if(_)break;let A=!1;for(let C=0,y=h.length;C<y;C++)if(h[C](e,d,n,!0)){A=!0;break}if(A){e.lineMax=d,e.blkIndent!==0&&(a.push(e.bMarks[d]),c.push(e.bsCount[d]),p.push(e.tShift[d]),l.push(e.sCount[d]),e.sCount[d]-=e.blkIndent);break}a.push(e.bMarks[d]),c.push(e.bsCount[d]),p.push(e.tShift[d]),l.push(e.sCount[d]),e.sCount[d]=-1}let S=e.blkIndent;e.blkIndent=0;let k=e.push("blockquote_open","blockquote",1);k.markup=">";let D=[t,0];k.map=D,e.md.block.tokenize(e,t,d);let v=e.push("blockquote_close","blockquote",-1);v.markup=">",e.lineMax=u,e.parentType=b,D[1]=e.line;for(let x=0;x<p.length;x++)e.bMarks[x+t]=a[x],e.tShift[x+t]=p[x],e.sCount[x+t]=l[x],e.bsCount[x+t]=c[x];return e.blkIndent=S,!0}function ia(e,t,n,i){let r=e.eMarks[t];if(e.sCount[t]-e.blkIndent>=4)return!1;let o=e.bMarks[t]+e.tShift[t],u=e.src.charCodeAt(o++);if(u!==42&&u!==45&&u!==95)return!1;let a=1;for(;o<r;){let l=e.src.charCodeAt(o++);if(l!==u&&!P(l))return!1;l===u&&a++}if(a<3)return!1;if(i)return!0;e.line=t+1;let c=e.push("hr","hr",0);return c.map=[t,e.line],c.markup=Array(a+1).join(String.fromCharCode(u)),!0}function gi(e,t){let n=e.eMarks[t],i=e.bMarks[t]+e.tShift[t],r=e.src.charCodeAt(i++);return r!==42&&r!==45&&r!==43||i<n&&!P(e.src.charCodeAt(i))?-1:i}function bi(e,t){let n=e.bMarks[t]+e.tShift[t],i=e.eMarks[t],r=n;if(r+1>=i)return-1;let o=e.src.charCodeAt(r++);if(o<48||o>57)return-1;for(;;){if(r>=i)return-1;if(o=e.src.charCodeAt(r++),o>=48&&o<=57){if(r-n>=10)return-1;continue}if(o===41||o===46)break;return-1}return r<i&&(o=e.src.charCodeAt(r),!P(o))?-1:r}function oa(e,t){let n=e.level+2;for(let i=t+2,r=e.tokens.length-2;i<r;i++)e.tokens[i].level===n&&e.tokens[i].type==="paragraph_open"&&(e.tokens[i+2].hidden=!0,e.tokens[i].hidden=!0,i+=2)}function sa(e,t,n,i){let r,o,u,a,c=t,l=!0;if(e.sCount[c]-e.blkIndent>=4||e.listIndent>=0&&e.sCount[c]-e.listIndent>=4&&e.sCount[c]<e.blkIndent)return!1;let p=!1;i&&e.parentType==="paragraph"&&e.sCount[c]>=e.blkIndent&&(p=!0);let h,b,_;if((_=bi(e,c))>=0){if(h=!0,u=e.bMarks[c]+e.tShift[c],b=Number(e.src.slice(u,_-1)),p&&b!==1)return!1}else if((_=gi(e,c))>=0)h=!1;else return!1;if(p&&e.skipSpaces(_)>=e.eMarks[c])return!1;if(i)return!0;let d=e.src.charCodeAt(_-1),S=e.tokens.length;h?(a=e.push("ordered_list_open","ol",1),b!==1&&(a.attrs=[["start",b]])):a=e.push("bullet_list_open","ul",1);let k=[c,0];a.map=k,a.markup=String.fromCharCode(d);let D=!1,v=e.md.block.ruler.getRules("list"),x=e.parentType;for(e.parentType="list";c<n;){o=_,r=e.eMarks[c];let A=e.sCount[c]+_-(e.bMarks[c]+e.tShift[c]),C=A;for(;o<r;){let ee=e.src.charCodeAt(o);if(ee===9)C+=4-(C+e.bsCount[c])%4;else if(ee===32)C++;else break;o++}let y=o,L;y>=r?L=1:L=C-A,L>4&&(L=1);let M=A+L;a=e.push("list_item_open","li",1),a.markup=String.fromCharCode(d);let I=[c,0];a.map=I,h&&(a.info=e.src.slice(u,_-1));let H=e.tight,O=e.tShift[c],Q=e.sCount[c],j=e.listIndent;if(e.listIndent=e.blkIndent,e.blkIndent=M,e.tight=!0,e.tShift[c]=y-e.bMarks[c],e.sCount[c]=C,y>=r&&e.isEmpty(c+1)?e.line=Math.min(e.line+2,n):e.md.block.tokenize(e,c,n),(!e.tight||D)&&(l=!1),D=e.line-c>1&&e.isEmpty(e.line-1),e.blkIndent=e.listIndent,e.listIndent=j,e.tShift[c]=O,e.sCount[c]=Q,e.tight=H,a=e.push("list_item_close","li",-1),a.markup=String.fromCharCode(d),c=e.line,I[1]=c,c>=n||e.sCount[c]<e.blkIndent||e.sCount[c]-e.blkIndent>=4)break;let V=!1;for(let ee=0,lt=v.length;ee<lt;ee++)if(v[ee](e,c,n,!0)){V=!0;break}if(V)break;if(h){if(_=bi(e,c),_<0)break;u=e.bMarks[c]+e.tShift[c]}else if(_=gi(e,c),_<0)break;if(d!==e.src.charCodeAt(_-1))break}return h?a=e.push("ordered_list_close","ol",-1):a=e.push("bullet_list_close","ul",-1),a.markup=String.fromCharCode(d),k[1]=c,e.line=c,e.parentType=x,l&&oa(e,S),!0}var Nn=999;function ua(e){let t=e.length;for(let n=0;n<e.length-1;n++){let i=e.charCodeAt(n);if(i<55296||i>56319)continue;let r=e.charCodeAt(n+1);r>=56320&&r<=57343&&(t--,n++)}return t}function rt(e,t){return Math.min(e.eMarks[t]+1,e.src.length)}function Mt(e,t){let n=e.lineMax;if(t>=n||e.isEmpty(t))return-1;let i=!1;if(e.sCount[t]-e.blkIndent>3&&(i=!0),e.sCount[t]<0&&(i=!0),!i){let r=e.md.block.ruler.getRules("reference"),o=e.parentType;e.parentType="reference";let u=!1;for(let a=0,c=r.length;a<c;a++)if(r[a](e,t,n,!0)){u=!0;break}if(e.parentType=o,u)return-1}return e.bMarks[t]+e.tShift[t]}function aa(e,t,n,i){let r=e.src,o=e.bMarks[t]+e.tShift[t],u=t+1;if(e.sCount[t]-e.blkIndent>=4||r.charCodeAt(o)!==91)return!1;let a=rt(e,t),c="",l=-1,p=++o;for(;o<a;){if(c.length+o-p>Nn*2)return!1;let y=r.charCodeAt(o);if(y===91)return!1;if(y===93){l=o;break}if(y===92&&(y=r.charCodeAt(++o)),y===10&&o<a){let L=Mt(e,u);if(L<0)return!1;c+=r.slice(p,a),o=p=L,a=rt(e,u++);continue}o++}if(l<0||r.charCodeAt(l+1)!==58||(c+=r.slice(p,l),c.length>Nn&&ua(c)>Nn))return!1;for(o=l+2;o<a;){let y=r.charCodeAt(o);if(y===10){let L=Mt(e,u);if(L<0)break;o=L,a=rt(e,u++)}else if(P(y))o++;else break}let h=e.md.helpers.parseLinkDestination(r,o,a);if(!h.ok)return!1;let b=e.md.normalizeLink(h.str);if(!e.md.validateLink(b))return!1;o=h.pos;let _=o,d=a,S=u;for(;o<a;){let y=r.charCodeAt(o);if(y===10){let L=Mt(e,u);if(L<0)break;o=L,a=rt(e,u++)}else if(P(y))o++;else break}let k=o,D=e.md.helpers.parseLinkTitle(r,o,a);for(;D.can_continue;){let y=Mt(e,u);if(y<0)break;o=y,a=rt(e,u++),D=e.md.helpers.parseLinkTitle(r,o,a,D)}let v;for(k!==_&&D.ok?(v=D.str,o=D.pos):(v="",o=_,a=d,u=S);o<a&&P(r.charCodeAt(o));)o++;if(o<a&&r.charCodeAt(o)!==10&&v)for(v="",o=_,a=d,u=S;o<a&&P(r.charCodeAt(o));)o++;if(o<a&&r.charCodeAt(o)!==10)return!1;let x=Ot(c);if(!x)return!1;if(i)return!0;typeof e.env.references>"u"&&(e.env.references={}),typeof e.env.references[x]>"u"&&(e.env.references[x]={title:v,href:b});let A=e.push("reference_definition","",0);A.map=[t,u],A.hidden=!0;let C=Object.create(null);return C.label=x,A.meta=C,e.line=u,!0}var ca=["address","article","aside","base","basefont","blockquote","body","caption","center","col","colgroup","dd","details","dialog","dir","div","dl","dt","fieldset","figcaption","figure","footer","form","frame","frameset","h1","h2","h3","h4","h5","h6","head","header","hr","html","iframe","legend","li","link","main","menu","menuitem","nav","noframes","ol","optgroup","option","p","param","search","section","summary","table","tbody","td","tfoot","th","thead","title","tr","track","ul"],Ii=`<[A-Za-z][A-Za-z0-9\\-]*(?:\\s+[a-zA-Z_:][a-zA-Z0-9:._-]*(?:\\s*=\\s*(?:[^"'=<>\`\\x00-\\x20]+|'[^']*'|"[^"]*"))?)*\\s*\\/?>`,Li="<\\/[A-Za-z][A-Za-z0-9\\-]*\\s*>";new RegExp(`^(?:${Ii}|${Li}|<!---?>|<!--(?:[^-]|-[^-]|--[^>])*-->|<[?][\\s\\S]*?[?]>|<![A-Za-z][^>]*>|<!\\[CDATA\\[[\\s\\S]*?\\]\\]>)`);var Mi=new RegExp(`^(?:${Ii}|${Li})`),Se=[[/^<(script|pre|style|textarea)(?=(\s|>|$))/i,/<\/(script|pre|style|textarea)>/i,!0],[/^<!--/,/-->/,!0],[/^<\?/,/\?>/,!0],[/^<![A-Za-z]/,/>/,!0],[/^<!\[CDATA\[/,/\]\]>/,!0],[new RegExp(`^</?(${ca.join("|")})(?=(\\s|/?>|$))`,"i"),/^$/,!0],[new RegExp(`${Mi.source}\\s*$`),/^$/,!1]];function la(e,t,n,i){let r=e.bMarks[t]+e.tShift[t],o=e.eMarks[t];if(e.sCount[t]-e.blkIndent>=4||!e.md.options.html||e.src.charCodeAt(r)!==60)return!1;let u=e.src.slice(r,o),a=0;for(;a<Se.length&&!Se[a][0].test(u);a++);if(a===Se.length)return!1;if(i)return Se[a][2];let c=t+1,l=Se[a][1].test("");if(!Se[a][1].test(u)){for(;c<n&&!(e.sCount[c]<e.blkIndent&&(l||!e.isEmpty(c)));c++)if(r=e.bMarks[c]+e.tShift[c],o=e.eMarks[c],u=e.src.slice(r,o),Se[a][1].test(u)){u.length!==0&&c++;break}}e.line=c;let p=e.push("html_block","",0);return p.map=[t,c],p.content=e.getLines(t,c,e.blkIndent,!0),!0}function fa(e,t,n,i){let r=e.bMarks[t]+e.tShift[t],o=e.eMarks[t];if(e.sCount[t]-e.blkIndent>=4)return!1;let u=e.src.charCodeAt(r);if(u!==35||r>=o)return!1;let a=1;for(u=e.src.charCodeAt(++r);u===35&&r<o&&a<=6;)a++,u=e.src.charCodeAt(++r);if(a>6||r<o&&!P(u))return!1;if(i)return!0;o=e.skipSpacesBack(o,r);let c=e.skipCharsBack(o,35,r);c>r&&P(e.src.charCodeAt(c-1))&&(o=c),e.line=t+1;let l=e.push("heading_open",`h${a}`,1);l.markup="########".slice(0,a),l.map=[t,e.line];let p=e.push("inline","",0);p.content=Bt(e.src.slice(r,o)),p.map=[t,e.line],p.children=[];let h=e.push("heading_close",`h${a}`,-1);return h.markup="########".slice(0,a),!0}function ha(e,t,n){let i=e.md.block.ruler.getRules("paragraph");if(e.sCount[t]-e.blkIndent>=4)return!1;let r=e.parentType;e.parentType="paragraph";let o=0,u,a=t+1;for(;a<n&&!e.isEmpty(a);a++){if(e.sCount[a]-e.blkIndent>3)continue;if(e.sCount[a]>=e.blkIndent){let _=e.bMarks[a]+e.tShift[a],d=e.eMarks[a];if(_<d&&(u=e.src.charCodeAt(_),(u===45||u===61)&&(_=e.skipChars(_,u),_=e.skipSpaces(_),_>=d))){o=u===61?1:2;break}}if(e.sCount[a]<0)continue;let b=!1;for(let _=0,d=i.length;_<d;_++)if(i[_](e,a,n,!0)){b=!0;break}if(b)break}if(!o)return e.parentType=r,!1;let c=Bt(e.getLines(t,a,e.blkIndent,!1));e.line=a+1;let l=e.push("heading_open",`h${o}`,1);l.markup=String.fromCharCode(u),l.map=[t,e.line];let p=e.push("inline","",0);p.content=c,p.map=[t,e.line-1],p.children=[];let h=e.push("heading_close",`h${o}`,-1);return h.markup=String.fromCharCode(u),e.parentType=r,!0}function da(e,t,n){let i=e.md.block.ruler.getRules("paragraph"),r=e.parentType,o=t+1;for(e.parentType="paragraph";o<n&&!e.isEmpty(o);o++){if(e.sCount[o]-e.blkIndent>3||e.sCount[o]<0)continue;let l=!1;for(let p=0,h=i.length;p<h;p++)if(i[p](e,o,n,!0)){l=!0;break}if(l)break}let u=Bt(e.getLines(t,o,e.blkIndent,!1));e.line=o;let a=e.push("paragraph_open","p",1);a.map=[t,e.line];let c=e.push("inline","",0);return c.content=u,c.map=[t,e.line],c.children=[],e.push("paragraph_close","p",-1),e.parentType=r,!0}var Nt=[["table",ea,["paragraph","reference"]],["code",ta],["fence",na,["paragraph","reference","blockquote","list"]],["blockquote",ra,["paragraph","reference","blockquote","list"]],["hr",ia,["paragraph","reference","blockquote","list"]],["list",sa,["paragraph","reference","blockquote"]],["reference",aa],["html_block",la,["paragraph","reference","blockquote"]],["heading",fa,["paragraph","reference","blockquote"]],["lheading",ha],["paragraph",da]],Ni=class{constructor(){w(this,"ruler",new ct),w(this,"State",Si);for(let e=0;e<Nt.length;e++)this.ruler.push(Nt[e][0],Nt[e][1],{alt:(Nt[e][2]||[]).slice()})}tokenize(e,t,n){let i=this.ruler.getRules(""),r=i.length,o=e.md.options.maxNesting,u=t,a=!1;for(;u<n&&(e.line=u=e.skipEmptyLines(u),!(u>=n||e.sCount[u]<e.blkIndent));){if(e.level>=o){e.line=n;break}let c=e.line,l=!1;for(let p=0;p<r;p++)if(l=i[p](e,u,n,!1),l){if(c>=e.line)throw new Error("block rule didn't increment state.line");break}if(!l)throw new Error("none of the block rules matched");e.tight=!a,e.isEmpty(e.line-1)&&(a=!0),u=e.line,u<n&&e.isEmpty(u)&&(a=!0,u++,e.line=u)}}parse(e,t,n,i){if(!e)return;let r=new this.State(e,t,n,i);this.tokenize(r,r.line,r.lineMax)}},Oi=class{constructor(e,t,n,i){w(this,"pos",0),w(this,"level",0),w(this,"pending",""),w(this,"pendingLevel",0),w(this,"cache",{}),w(this,"backticks",{}),w(this,"backticksScanned",!1),w(this,"skipHtmlSpecial",!1),w(this,"linkLevel",0),w(this,"delimiters",[]),w(this,"_prev_delimiters",[]),w(this,"Token",Ie),this.src=e,this.env=n,this.md=t,this.tokens=i,this.tokens_meta=Array(i.length),this.posMax=this.src.length}pushPending(){let e=new Ie("text","",0);return e.content=this.pending,e.level=this.pendingLevel,this.tokens.push(e),this.pending="",e}push(e,t,n){this.pending&&this.pushPending();let i=new Ie(e,t,n),r;return n<0&&(this.level--,this.delimiters=this._prev_delimiters.pop()),i.level=this.level,n>0&&(this.level++,this._prev_delimiters.push(this.delimiters),this.delimiters=[],r={delimiters:this.delimiters}),this.pendingLevel=this.level,this.tokens.push(i),this.tokens_meta.push(r),i}scanDelims(e,t){let n=this.posMax,i=this.src.charCodeAt(e),r;if(e===0)r=32;else if(e===1)r=this.src.charCodeAt(0),(r&63488)===55296&&(r=65533);else if(r=this.src.charCodeAt(e-1),(r&64512)===56320){let d=this.src.charCodeAt(e-2);r=(d&64512)===55296?65536+(d-55296<<10)+(r-56320):65533}else(r&64512)===55296&&(r=65533);let o=e;for(;o<n&&this.src.charCodeAt(o)===i;)o++;let u=o-e,a=o<n?this.src.charCodeAt(o):32;if((a&64512)===55296){let d=this.src.charCodeAt(o+1);a=(d&64512)===56320?65536+(a-55296<<10)+(d-56320):65533}else(a&64512)===56320&&(a=65533);let c=ut(r)||st(r),l=ut(a)||st(a),p=ot(r),h=ot(a),b=!h&&(!l||p||c),_=!p&&(!c||h||l);return{can_open:b&&(t||!_||c),can_close:_&&(t||!b||l),length:u}}};function pa(e){switch(e){case 10:case 33:case 35:case 36:case 37:case 38:case 42:case 43:case 45:case 58:case 60:case 61:case 62:case 64:case 91:case 92:case 93:case 94:case 95:case 96:case 123:case 125:case 126:return!0;default:return!1}}function ma(e,t){let n=e.pos;for(;n<e.posMax&&!pa(e.src.charCodeAt(n));)n++;return n===e.pos?!1:(t||(e.pending+=e.src.slice(e.pos,n)),e.pos=n,!0)}function _a(e){return e>=65&&e<=90||e>=97&&e<=122}function ga(e){return e>=65&&e<=90||e>=97&&e<=122||e>=48&&e<=57||e===43||e===45||e===46}function ba(e,t){if(!e.md.options.linkify||e.linkLevel>0)return!1;let n=e.pos,i=e.posMax;if(n+3>i||e.src.charCodeAt(n)!==58||e.src.charCodeAt(n+1)!==47||e.src.charCodeAt(n+2)!==47)return!1;let r=n-Math.min(10,e.pending.length,n),o=n;for(;o>r&&ga(e.src.charCodeAt(o-1));)o--;if(o===n||!_a(e.src.charCodeAt(o)))return!1;let u=n-o,a=e.md.linkify.matchAtStart(e.src.slice(o));if(!a)return!1;let c=a.url;if(c.length<=u)return!1;let l=c.length;for(;l>0&&c.charCodeAt(l-1)===42;)l--;l!==c.length&&(c=c.slice(0,l));let p=e.md.normalizeLink(c);if(!e.md.validateLink(p))return!1;if(!t){e.pending=e.pending.slice(0,-u);let h=e.push("link_open","a",1);h.attrs=[["href",p]],h.markup="linkify",h.info="auto";let b=e.push("text","",0);b.content=e.md.normalizeLinkText(c);let _=e.push("link_close","a",-1);_.markup="linkify",_.info="auto"}return e.pos+=c.length-u,!0}function Ra(e,t){let n=e.pos;if(e.src.charCodeAt(n)!==10)return!1;let i=e.pending.length-1,r=e.posMax;if(!t)if(i>=0&&e.pending.charCodeAt(i)===32)if(i>=1&&e.pending.charCodeAt(i-1)===32){let o=i-1;for(;o>=1&&e.pending.charCodeAt(o-1)===32;)o--;e.pending=e.pending.slice(0,o),e.push("hardbreak","br",0)}else e.pending=e.pending.slice(0,-1),e.push("softbreak","br",0);else e.push("softbreak","br",0);for(n++;n<r&&P(e.src.charCodeAt(n));)n++;return e.pos=n,!0}var Pn=[];for(let e=0;e<256;e++)Pn.push(0);"\\!\"#$%&'()*+,./:;<=>?@[]^_`{|}~-".split("").forEach(function(e){Pn[e.charCodeAt(0)]=1});function Aa(e,t){let n=e.pos,i=e.posMax;if(e.src.charCodeAt(n)!==92||(n++,n>=i))return!1;let r=e.src.charCodeAt(n);if(r===10){for(t||e.push("hardbreak","br",0),n++;n<i&&(r=e.src.charCodeAt(n),!!P(r));)n++;return e.pos=n,!0}if(r===32){if(!t){let a=e.push("text_special","",0);a.content="\\",a.markup="\\",a.info="escape"}return e.pos=n,!0}let o=e.src[n];if(r>=55296&&r<=56319&&n+1<i){let a=e.src.charCodeAt(n+1);a>=56320&&a<=57343&&(o+=e.src[n+1],n++)}let u="\\"+o;if(!t){let a=e.push("text_special","",0);r<256&&Pn[r]!==0?a.content=o:a.content=u,a.markup=u,a.info="escape"}return e.pos=n+1,!0}function ka(e){let t={},n=0;for(;(n=e.indexOf("`",n))!==-1;){let i=n;for(;e.charCodeAt(++n)===96;);t[n-i]=i}return t}function xa(e,t){var n;let i=e.pos;if(e.src.charCodeAt(i)!==96)return!1;let r=e.posMax,o=i+1;for(;o<r&&e.src.charCodeAt(o)===96;)o++;let u=e.src.slice(i,o),a=u.length;if(e.backticksScanned||(e.backticks=ka(e.src),e.backticksScanned=!0),((n=e.backticks[a])!==null&&n!==void 0?n:-1)>=o){let c=o,l;for(;(l=e.src.indexOf("`",c))!==-1&&l<r;){for(c=l+1;e.src.charCodeAt(c)===96;)c++;if(c>r)break;if(c-l===a){if(!t){let p=e.push("code_inline","code",0);p.markup=u;let h=e.src.slice(o,l).replace(/\n/g," ");h.startsWith(" ")&&h.endsWith(" ")&&/[^ ]/.test(h)&&(h=h.slice(1,-1)),p.content=h}return e.pos=c,!0}}}return t||(e.pending+=u),e.pos=o,!0}function Ea(e,t){let n=e.pos,i=e.src.charCodeAt(n);if(t||i!==126)return!1;let r=e.scanDelims(e.pos,!0),o=r.length,u=String.fromCharCode(i);if(o<2)return!1;let a;o%2&&(a=e.push("text","",0),a.content=u,o--);for(let c=0;c<o;c+=2)a=e.push("text","",0),a.content=u+u,e.delimiters.push({marker:i,length:0,token:e.tokens.length-1,end:-1,open:r.can_open,close:r.can_close});return e.pos+=r.length,!0}function Ri(e,t){let n,i=[],r=t.length;for(let o=0;o<r;o++){let u=t[o];if(u.marker!==126||u.end===-1)continue;let a=t[u.end];n=e.tokens[u.token],n.type="s_open",n.tag="s",n.nesting=1,n.markup="~~",n.content="",n=e.tokens[a.token],n.type="s_close",n.tag="s",n.nesting=-1,n.markup="~~",n.content="",e.tokens[a.token-1].type==="text"&&e.tokens[a.token-1].content==="~"&&i.push(a.token-1)}for(;i.length;){let o=i.pop(),u=o+1;for(;u<e.tokens.length&&e.tokens[u].type==="s_close";)u++;u--,o!==u&&(n=e.tokens[u],e.tokens[u]=e.tokens[o],e.tokens[o]=n)}}function Ca(e){let t=e.tokens_meta,n=e.tokens_meta.length;Ri(e,e.delimiters);for(let r=0;r<n;r++){var i;let o=(i=t[r])===null||i===void 0?void 0:i.delimiters;o&&Ri(e,o)}}var Bi={tokenize:Ea,postProcess:Ca};function Da(e,t){let n=e.pos,i=e.src.charCodeAt(n);if(t||i!==95&&i!==42)return!1;let r=e.scanDelims(e.pos,i===42);for(let o=0;o<r.length;o++){let u=e.push("text","",0);u.content=String.fromCharCode(i),e.delimiters.push({marker:i,length:r.length,token:e.tokens.length-1,end:-1,open:r.can_open,close:r.can_close})}return e.pos+=r.length,!0}function Ai(e,t){let n=t.length;for(let i=n-1;i>=0;i--){let r=t[i];if(r.marker!==95&&r.marker!==42||r.end===-1)continue;let o=t[r.end],u=i>0&&t[i-1].end===r.end+1&&t[i-1].marker===r.marker&&t[i-1].token===r.token-1&&t[r.end+1].token===o.token+1,a=String.fromCharCode(r.marker),c=e.tokens[r.token];c.type=u?"strong_open":"em_open",c.tag=u?"strong":"em",c.nesting=1,c.markup=u?a+a:a,c.content="";let l=e.tokens[o.token];l.type=u?"strong_close":"em_close",l.tag=u?"strong":"em",l.nesting=-1,l.markup=u?a+a:a,l.content="",u&&(e.tokens[t[i-1].token].content="",e.tokens[t[r.end+1].token].content="",i--)}}function va(e){let t=e.tokens_meta,n=e.tokens_meta.length;Ai(e,e.delimiters);for(let r=0;r<n;r++){var i;let o=(i=t[r])===null||i===void 0?void 0:i.delimiters;o&&Ai(e,o)}}var zi={tokenize:Da,postProcess:va};function wa(e,t){let n,i,r,o,u="",a="",c=e.pos,l=!0;if(e.src.charCodeAt(e.pos)!==91)return!1;let p=e.pos,h=e.posMax,b=e.pos+1,_=e.md.helpers.parseLinkLabel(e,e.pos,!0);if(_<0)return!1;let d=_+1;if(d<h&&e.src.charCodeAt(d)===40){for(l=!1,d++;d<h&&(n=e.src.charCodeAt(d),!(!P(n)&&n!==10));d++);if(d>=h)return!1;if(c=d,r=e.md.helpers.parseLinkDestination(e.src,d,e.posMax),r.ok){for(u=e.md.normalizeLink(r.str),e.md.validateLink(u)?d=r.pos:u="",c=d;d<h&&(n=e.src.charCodeAt(d),!(!P(n)&&n!==10));d++);if(r=e.md.helpers.parseLinkTitle(e.src,d,e.posMax),d<h&&c!==d&&r.ok)for(a=r.str,d=r.pos;d<h&&(n=e.src.charCodeAt(d),!(!P(n)&&n!==10));d++);}(d>=h||e.src.charCodeAt(d)!==41)&&(l=!0),d++}if(l){if(typeof e.env.references>"u")return!1;if(d<h&&e.src.charCodeAt(d)===91?(c=d+1,d=e.md.helpers.parseLinkLabel(e,d),d>=0?i=e.src.slice(c,d++):d=_+1):d=_+1,i||(i=e.src.slice(b,_)),i=Ot(i),o=e.env.references[i],!o)return e.pos=p,!1;u=o.href,a=o.title}if(!t){e.pos=b,e.posMax=_;let S=e.push("link_open","a",1),k=[["href",u]];if(S.attrs=k,a&&k.push(["title",a]),i){let D=Object.create(null);D.label=i,S.meta=D}e.linkLevel++,e.md.inline.tokenize(e),e.linkLevel--,e.push("link_close","a",-1)}return e.pos=d,e.posMax=h,!0}function ya(e,t){let n,i,r,o,u,a,c,l,p="",h=e.pos,b=e.posMax;if(e.src.charCodeAt(e.pos)!==33||e.src.charCodeAt(e.pos+1)!==91)return!1;let _=e.pos+2,d=e.md.helpers.parseLinkLabel(e,e.pos+1,!1);if(d<0)return!1;if(o=d+1,o<b&&e.src.charCodeAt(o)===40){for(o++;o<b&&(n=e.src.charCodeAt(o),!(!P(n)&&n!==10));o++);if(o>=b)return!1;for(l=o,a=e.md.helpers.parseLinkDestination(e.src,o,e.posMax),a.ok&&(p=e.md.normalizeLink(a.str),e.md.validateLink(p)?o=a.pos:p=""),l=o;o<b&&(n=e.src.charCodeAt(o),!(!P(n)&&n!==10));o++);if(a=e.md.helpers.parseLinkTitle(e.src,o,e.posMax),o<b&&l!==o&&a.ok)for(c=a.str,o=a.pos;o<b&&(n=e.src.charCodeAt(o),!(!P(n)&&n!==10));o++);else c="";if(o>=b||e.src.charCodeAt(o)!==41)return e.pos=h,!1;o++}else{if(typeof e.env.references>"u")return!1;if(o<b&&e.src.charCodeAt(o)===91?(l=o+1,o=e.md.helpers.parseLinkLabel(e,o),o>=0?r=e.src.slice(l,o++):o=d+1):o=d+1,r||(r=e.src.slice(_,d)),r=Ot(r),u=e.env.references[r],!u)return e.pos=h,!1;p=u.href,c=u.title}if(!t){i=e.src.slice(_,d);let S=[];e.md.inline.parse(i,e.md,e.env,S);let k=e.push("image","img",0),D=[["src",p],["alt",""]];if(k.attrs=D,k.children=S,k.content=i,c&&D.push(["title",c]),r){let v=Object.create(null);v.label=r,k.meta=v}}return e.pos=o,e.posMax=b,!0}var Ta=/^([a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*)$/,Fa=/^([a-zA-Z][a-zA-Z0-9+.-]{1,31}):([^<>\x00-\x20]*)$/;function Sa(e,t){let n=e.pos;if(e.src.charCodeAt(n)!==60)return!1;let i=e.pos,r=e.posMax;for(;;){if(++n>=r)return!1;let u=e.src.charCodeAt(n);if(u===60)return!1;if(u===62)break}let o=e.src.slice(i+1,n);if(Fa.test(o)){let u=e.md.normalizeLink(o);if(!e.md.validateLink(u))return!1;if(!t){let a=e.push("link_open","a",1);a.attrs=[["href",u]],a.markup="autolink",a.info="auto";let c=e.push("text","",0);c.content=e.md.normalizeLinkText(o);let l=e.push("link_close","a",-1);l.markup="autolink",l.info="auto"}return e.pos+=o.length+2,!0}if(Ta.test(o)){let u=e.md.normalizeLink(`mailto:${o}`);if(!e.md.validateLink(u))return!1;if(!t){let a=e.push("link_open","a",1);a.attrs=[["href",u]],a.markup="autolink",a.info="auto";let c=e.push("text","",0);c.content=e.md.normalizeLinkText(o);let l=e.push("link_close","a",-1);l.markup="autolink",l.info="auto"}return e.pos+=o.length+2,!0}return!1}function Ia(e){return/^<a[>\s]/i.test(e)}function La(e){return/^<\/a\s*>/i.test(e)}function Pi(e){let t=e|32;return t>=97&&t<=122}function Ma(e,t){let n=e.src,i,r;if(n.startsWith("<!--",t)){if(n.startsWith(">",t+4))return t+5;if(n.startsWith("->",t+4))return t+6;i=t+4,r="-->"}else if(n.startsWith("<![CDATA[",t))i=t+9,r="]]>";else if(n.charCodeAt(t+1)===63)i=t+2,r="?>";else if(Pi(n.charCodeAt(t+2)))i=t+3,r=">";else return-1;if(e.skipHtmlSpecial)return-1;let o=n.indexOf(r,i);return o<0?(e.skipHtmlSpecial=!0,-1):o+r.length}function Na(e,t){if(!e.md.options.html)return!1;let n=e.posMax,i=e.pos;if(e.src.charCodeAt(i)!==60||i+2>=n)return!1;let r,o=e.src.charCodeAt(i+1);if(o===33||o===63)r=Ma(e,i);else if(o===47||Pi(o)){let u=e.src.slice(i).match(Mi);r=u?i+u[0].length:-1}else return!1;if(r<0)return!1;if(!t){let u=e.push("html_inline","",0);u.content=e.src.slice(i,r),Ia(u.content)&&e.linkLevel++,La(u.content)&&e.linkLevel--}return e.pos=r,!0}var Oa=/^&#((?:x[a-f0-9]{1,6}|[0-9]{1,7}));/i,Ba=/^&([a-z][a-z0-9]{1,31});/i;function za(e,t){let n=e.pos,i=e.posMax;if(e.src.charCodeAt(n)!==38||n+1>=i)return!1;if(e.src.charCodeAt(n+1)===35){let r=e.src.slice(n).match(Oa);if(r){if(!t){let o=r[1][0].toLowerCase()==="x"?parseInt(r[1].slice(1),16):parseInt(r[1],10),u=e.push("text_special","",0);u.content=zn(o)?it(o):it(65533),u.markup=r[0],u.info="entity"}return e.pos+=r[0].length,!0}}else{let r=e.src.slice(n).match(Ba);if(r){let o=It(r[0]);if(o!==r[0]){if(!t){let u=e.push("text_special","",0);u.content=o,u.markup=r[0],u.info="entity"}return e.pos+=r[0].length,!0}}}return!1}function ki(e){let t={},n=e.length;if(!n)return;let i=0,r=-2,o=[];for(let u=0;u<n;u++){let a=e[u];if(o.push(0),(e[i].marker!==a.marker||r!==a.token-1)&&(i=u),r=a.token,a.length=a.length||0,!a.close)continue;t.hasOwnProperty(a.marker)||(t[a.marker]=[-1,-1,-1,-1,-1,-1]);let c=t[a.marker][(a.open?3:0)+a.length%3],l=i-o[i]-1,p=l;for(;l>c;l-=o[l]+1){let h=e[l];if(h.marker===a.marker&&h.open&&h.end<0){let b=!1;if((h.close||a.open)&&(h.length+a.length)%3===0&&(h.length%3!==0||a.length%3!==0)&&(b=!0),!b){let _=l>0&&!e[l-1].open?o[l-1]+1:0;o[u]=u-l+_,o[l]=_,a.open=!1,h.end=u,h.close=!1,p=-1,r=-2;break}}}p!==-1&&(t[a.marker][(a.open?3:0)+(a.length||0)%3]=p)}}function Pa(e){let t=e.tokens_meta,n=e.tokens_meta.length;ki(e.delimiters);for(let r=0;r<n;r++){var i;let o=(i=t[r])===null||i===void 0?void 0:i.delimiters;o&&ki(o)}}function ja(e){let t,n,i=0,r=e.tokens,o=e.tokens.length;for(t=n=0;t<o;t++)r[t].nesting<0&&i--,r[t].level=i,r[t].nesting>0&&i++,r[t].type==="text"&&t+1<o&&r[t+1].type==="text"?r[t+1].content=r[t].content+r[t+1].content:(t!==n&&(r[n]=r[t]),n++);t!==n&&(r.length=n)}var On=[["text",ma],["linkify",ba],["newline",Ra],["escape",Aa],["backticks",xa],["strikethrough",Bi.tokenize],["emphasis",zi.tokenize],["link",wa],["image",ya],["autolink",Sa],["html_inline",Na],["entity",za]],Bn=[["balance_pairs",Pa],["strikethrough",Bi.postProcess],["emphasis",zi.postProcess],["fragments_join",ja]],ji=class{constructor(){w(this,"ruler",new ct),w(this,"ruler2",new ct),w(this,"State",Oi);for(let e=0;e<On.length;e++)this.ruler.push(On[e][0],On[e][1]);for(let e=0;e<Bn.length;e++)this.ruler2.push(Bn[e][0],Bn[e][1])}skipToken(e){let t=e.pos,n=this.ruler.getRules(""),i=n.length,r=e.md.options.maxNesting,o=e.cache;if(typeof o[t]<"u"){e.pos=o[t];return}let u=!1;if(e.level<r){for(let a=0;a<i;a++)if(e.level++,u=n[a](e,!0),e.level--,u){if(t>=e.pos)throw new Error("inline rule didn't increment state.pos");break}}else e.pos=e.posMax;u||e.pos++,o[t]=e.pos}tokenize(e){let t=this.ruler.getRules(""),n=t.length,i=e.posMax,r=e.md.options.maxNesting;for(;e.pos<i;){let o=e.pos,u=!1;if(e.level<r){for(let a=0;a<n;a++)if(u=t[a](e,!1),u){if(o>=e.pos)throw new Error("inline rule didn't increment state.pos");break}}if(u){if(e.pos>=i)break;continue}e.pending+=e.src[e.pos++]}e.pending&&e.pushPending()}parse(e,t,n,i){let r=new this.State(e,t,n,i);this.tokenize(r);let o=this.ruler2.getRules(""),u=o.length;for(let a=0;a<u;a++)o[a](r)}},Ua={default:{options:{html:!1,xhtmlOut:!1,breaks:!1,langPrefix:"language-",linkify:!1,typographer:!1,quotes:"“”‘’",highlight:null,maxNesting:100},components:{core:{},block:{},inline:{}}},zero:{options:{html:!1,xhtmlOut:!1,breaks:!1,langPrefix:"language-",linkify:!1,typographer:!1,quotes:"“”‘’",highlight:null,maxNesting:20},components:{core:{rules:["normalize","block","strip_references","inline","text_join"]},block:{rules:["paragraph"]},inline:{rules:["text"],rules2:["balance_pairs","fragments_join"]}}},commonmark:{options:{html:!0,xhtmlOut:!0,breaks:!1,langPrefix:"language-",linkify:!1,typographer:!1,quotes:"“”‘’",highlight:null,maxNesting:20},components:{core:{rules:["normalize","block","strip_references","inline","text_join"]},block:{rules:["blockquote","code","fence","heading","hr","html_block","lheading","list","reference","paragraph"]},inline:{rules:["autolink","backticks","emphasis","entity","escape","html_inline","image","link","newline","text"],rules2:["balance_pairs","emphasis","fragments_join"]}}}},Ja=/^(vbscript|javascript|file|data):/,Wa=/^data:image\/(gif|png|jpeg|webp);/,xi=["http:","https:","mailto:"],pe=class{validateLink(e){let t=e.trim().toLowerCase();return Ja.test(t)?Wa.test(t):!0}normalizeLink(e){let t=tt(e,!0);if(t.hostname&&(!t.protocol||xi.indexOf(t.protocol)>=0))try{t.hostname=In.toASCII(t.hostname)}catch{}return t.auth&&(t.auth=Ee(t.auth)),t.hostname&&(t.hostname=Ee(t.hostname)),t.pathname&&(t.pathname=Ee(t.pathname)),t.search&&(t.search=Ee(t.search)),t.hash&&(t.hash=Ee(t.hash)),je(t)}normalizeLinkText(e){let t=tt(e,!0);if(t.hostname&&(!t.protocol||xi.indexOf(t.protocol)>=0))try{t.hostname=In.toUnicode(t.hostname)}catch{}return et(je(t),et.defaultChars+"%")}constructor(...e){w(this,"inline",new ji),w(this,"block",new Ni),w(this,"core",new Fi),w(this,"renderer",new wi),w(this,"linkify",new ii),w(this,"utils",fu),w(this,"helpers",Object.assign({},wu));let[t,n]=e;typeof t=="string"?(this.configure(t),n&&this.set(n)):(this.configure("default"),this.set(t||{}))}set(e){return Object.assign(this.options,e),this}configure(e){let t;if(typeof e=="string"){let r=e;if(t=Ua[r],!t)throw new Error(`Wrong 'markdown-it' preset "${r}", check name`)}else t=e;if(!t)throw new Error("Wrong `markdown-it` preset, can't be empty");t.options&&(this.options={...t.options});let n=t.components;if(n){var i;["core","block","inline"].forEach(o=>{var u;let a=(u=n[o])===null||u===void 0?void 0:u.rules;a&&this[o].ruler.enableOnly(a)});let r=(i=n.inline)===null||i===void 0?void 0:i.rules2;r&&this.inline.ruler2.enableOnly(r)}return this}enable(e,t=!1){let n=[];Array.isArray(e)||(e=[e]),["core","block","inline"].forEach(r=>{n=n.concat(this[r].ruler.enable(e,!0))}),n=n.concat(this.inline.ruler2.enable(e,!0));let i=e.filter(r=>n.indexOf(r)<0);if(i.length&&!t)throw new Error(`MarkdownIt. Failed to enable unknown rule(s): ${i}`);return this}disable(e,t=!1){let n=[];Array.isArray(e)||(e=[e]),["core","block","inline"].forEach(r=>{n=n.concat(this[r].ruler.disable(e,!0))}),n=n.concat(this.inline.ruler2.disable(e,!0));let i=e.filter(r=>n.indexOf(r)<0);if(i.length&&!t)throw new Error(`MarkdownIt. Failed to disable unknown rule(s): ${i}`);return this}use(e,...t){return e.apply(e,[this,...t]),this}parse(e,t){if(typeof e!="string")throw new Error("Input data should be a String");let n=new this.core.State(e,this,t);return this.core.process(n),n.tokens}render(e,t={}){return this.renderer.render(this.parse(e,t),this.options,t)}parseInline(e,t){let n=new this.core.State(e,this,t);return n.inlineMode=!0,this.core.process(n),n.tokens}renderInline(e,t={}){return this.renderer.render(this.parseInline(e,t),this.options,t)}};w(pe,"Token",Ie);w(pe,"Ruler",ct);w(pe,"Renderer",wi);w(pe,"ParserCore",Fi);w(pe,"StateCore",yi);w(pe,"ParserBlock",Ni);w(pe,"StateBlock",Si);w(pe,"ParserInline",ji);w(pe,"StateInline",Oi);var Ui=Ci(pe);return Bo(Ha);})();
// errors.js
var PASSING = /* @__PURE__ */ new Set([408, 425, 429, 500, 502, 503, 504]);
var HostError = class _HostError extends Error {
  name = "HostError";
  /** @param {number} status @param {Record<string, any>} problem @param {number} [retryAfterMs] */
  constructor(status, problem, retryAfterMs) {
    super(problem.detail ?? problem.title ?? `the host answered with status ${status}`);
    this.status = status;
    this.kind = String(problem.type ?? "").replace("urn:streamtask:problem:", "");
    this.problem = problem;
    this.retryAfterMs = retryAfterMs;
  }
  /** @param {Response} response */
  static async of(response) {
    const problem = await response.json().catch(() => ({}));
    const after = response.headers.get("retry-after");
    const seconds = after === null ? NaN : Number(after);
    const wait = Number.isNaN(seconds) ? Date.parse(after ?? "") - Date.now() : seconds * 1e3;
    return new _HostError(response.status, problem ?? {}, wait > 0 ? wait : void 0);
  }
};
var RunError = class extends Error {
  name = "RunError";
  /** @param {RunInfo} run */
  constructor(run) {
    super(run.error?.message ?? `the run was ${run.status}`);
    this.run = run;
    this.status = run.status;
    this.kind = run.error?.kind;
    this.code = run.error?.code;
  }
};
function mayPass(error) {
  return !(error instanceof HostError) || PASSING.has(error.status);
}
function retryAfter(error) {
  return error instanceof HostError ? error.retryAfterMs : void 0;
}

// address.js
var Address = class {
  /** @param {string | URL} [url] @param {HostOptions} [options] */
  constructor(url = ownHost(), options = {}) {
    if (!url || url === "null") throw new TypeError("outside of a page, the URL of the host is required");
    this.url = new URL(url, globalThis.location?.href);
    this.options = options;
  }
  /** The URL of a path of the host; below the host's own path, if a proxy adds one. @param {string} path @param {Query} [query] */
  at(path, query = {}) {
    const url = new URL(this.url.origin + this.url.pathname.replace(/\/+$/, "") + path);
    for (const [name, value] of Object.entries(query)) {
      for (const one of [value].flat()) if (one !== void 0) url.searchParams.append(name, String(one));
    }
    return url;
  }
  /** Headers can contain a token, which must not be sent elsewhere. @param {URL} url */
  check(url) {
    if (url.origin !== this.url.origin) throw new TypeError(`${url.origin} is not the host ${this.url.origin}`);
  }
  /** @param {URL} url @param {RequestInit & { headers?: Record<string, string> }} [init] */
  async fetch(url, init = {}) {
    this.check(url);
    const { headers, fetch = globalThis.fetch, credentials } = this.options;
    const own = typeof headers === "function" ? await headers() : headers;
    return fetch(url, { cache: "no-store", credentials, ...init, headers: { ...own, ...init.headers } });
  }
  /** @param {string} method @param {string} path @param {{ query?: Query, body?: unknown, headers?: Record<string, string>, signal?: AbortSignal }} [options] */
  async open(method, path, { query, body, headers, signal } = {}) {
    const isJson = body !== void 0 && !isBytes(body);
    const type = isJson ? { "content-type": "application/json" } : void 0;
    const sent = (
      /** @type {BodyInit | undefined} */
      isJson ? JSON.stringify(body) : body
    );
    const init = { method, body: sent, headers: { accept: "application/json", ...type, ...headers }, signal };
    const response = await this.fetch(this.at(path, query), init);
    if (!response.ok) throw await HostError.of(response);
    return response;
  }
  /** @param {string} method @param {string} path @param {{ query?: Query, body?: unknown, headers?: Record<string, string>, signal?: AbortSignal }} [options] */
  async request(method, path, options) {
    const text2 = await (await this.open(method, path, options)).text();
    return text2 ? JSON.parse(text2) : void 0;
  }
};
function isBytes(body) {
  return body instanceof Blob || body instanceof ArrayBuffer || ArrayBuffer.isView(body);
}
function ownHost() {
  const script = URL.canParse(import.meta.url ?? "") ? new URL(import.meta.url) : void 0;
  const isServed = script && /^https?:$/.test(script.protocol) && script.pathname === "/streamtask.js";
  return isServed ? script.origin : globalThis.location?.origin;
}

// frames.js
var MAX_LINE_CHARS = 64 << 20;
var Frames = class {
  /** @type {number | undefined} */
  retryMs;
  #decoder = new TextDecoder();
  #rest = "";
  /** @type {string[]} */
  #data = [];
  /** Returns the data of each complete event. @param {Uint8Array} bytes */
  take(bytes) {
    const text2 = this.#decoder.decode(bytes, { stream: true });
    const whole = [];
    let from = 0;
    for (let end = text2.indexOf("\n"); end >= 0; end = text2.indexOf("\n", from)) {
      this.#line(this.#rest + text2.slice(from, end), whole);
      this.#rest = "";
      from = end + 1;
    }
    this.#rest += text2.slice(from);
    if (this.#rest.length > MAX_LINE_CHARS) throw new Error("a line of the stream is too long");
    return whole;
  }
  /** @param {string} line @param {string[]} whole */
  #line(line, whole) {
    const text2 = line.endsWith("\r") ? line.slice(0, -1) : line;
    if (text2 === "") {
      if (this.#data.length) whole.push(this.#data.splice(0).join("\n"));
      return;
    }
    const colon = text2.indexOf(":");
    const field = colon < 0 ? text2 : text2.slice(0, colon);
    const value = colon < 0 ? "" : text2.slice(text2[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") this.#data.push(value);
    else if (field === "retry" && /^\d+$/.test(value)) this.retryMs = Number(value);
  }
};

// pauses.js
var RETRY_MS = 1e3;
var MAX_RETRY_MS = 3e4;
function backoff(failures, firstMs = RETRY_MS, leastMs = 0) {
  const longest = Math.min(firstMs * 2 ** failures, MAX_RETRY_MS);
  return Math.max(leastMs, longest * (1 - Math.random() / 2));
}
var waiting = /* @__PURE__ */ new Set();
function retryNow() {
  for (const over of [...waiting]) over();
}
function pause(ms, { signal, isAskedFor = false } = {}) {
  return new Promise((resolve, reject) => {
    const over = () => {
      clearTimeout(timer);
      forget();
      waiting.delete(over);
      signal?.removeEventListener("abort", over);
      if (signal?.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = setTimeout(over, ms);
    const forget = onWake(over);
    if (!isAskedFor) waiting.add(over);
    signal?.addEventListener("abort", over);
    if (signal?.aborted) over();
  });
}
function onWake(callback) {
  const page = globalThis.document;
  if (!page) return () => {
  };
  const online = () => callback(true);
  const awake = () => page.visibilityState === "visible" && callback(false);
  globalThis.addEventListener("online", online);
  globalThis.addEventListener("pageshow", awake);
  page.addEventListener("visibilitychange", awake);
  return () => {
    globalThis.removeEventListener("online", online);
    globalThis.removeEventListener("pageshow", awake);
    page.removeEventListener("visibilitychange", awake);
  };
}

// watchdog.js
var LOOK_MS = 5e3;
var Silence = class extends Error {
  heard = false;
};
var Watchdog = class {
  #stop = new AbortController();
  #since = NaN;
  #patienceMs = 0;
  #heard = false;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  #onAbort = () => this.#stop.abort(this.outer?.reason);
  #forget = onWake((isOnline) => isOnline ? this.#stop.abort(new Error("the network changed")) : this.#look());
  /** @param {AbortSignal} [outer] */
  constructor(outer) {
    this.outer = outer;
    this.signal = this.#stop.signal;
    if (outer?.aborted) this.#onAbort();
    outer?.addEventListener("abort", this.#onAbort);
  }
  /** Expects data within this time. @param {number} patienceMs */
  expect(patienceMs) {
    this.#since = Date.now();
    if (patienceMs === this.#patienceMs) return;
    this.#patienceMs = patienceMs;
    clearInterval(this.#timer);
    if (patienceMs > 0 && patienceMs < 2 ** 31) this.#timer = setInterval(() => this.#look(), Math.min(patienceMs / 4, LOOK_MS));
  }
  /** Data arrived. Stops expecting more until the consumer reads again. */
  rest() {
    this.#since = NaN;
    this.#heard = true;
  }
  #look() {
    if (this.#since > Date.now()) this.#since = Date.now();
    if (this.#patienceMs > 0 && Date.now() - this.#since > this.#patienceMs) {
      const silence = new Silence(`nothing came for ${Math.round(this.#patienceMs / 1e3)} seconds`);
      silence.heard = this.#heard;
      this.#stop.abort(silence);
    }
  }
  close() {
    clearInterval(this.#timer);
    this.#forget();
    this.outer?.removeEventListener("abort", this.#onAbort);
    this.#stop.abort();
  }
};

// line.js
var HEARTBEAT_SECONDS = 15;
var SILENCE_HEARTBEATS = 2.5;
var OPEN_MS = 1e4;
var MUTE_CONNECTIONS = 2;
var POLL_MS = 2e3;
var POLLS_IN_A_ROW = 150;
var WHOLE_MS = 3e5;
var PIECE_BYTES = 32 << 10;
var Line = class {
  /** Whether the host reported the end of the stream. */
  ended = false;
  /** @type {number | undefined} the pause that the host requested */
  retryMs;
  /** Whether the host may coalesce events. */
  joins = true;
  #mute = 0;
  #polls = 0;
  /** Polls that timed out without a single byte. */
  #mutePolls = 0;
  /** @type {number | undefined} the start position, if the first poll had to determine it */
  #begin;
  /** @type {Address} */
  #host;
  /** @type {URL | undefined} known at once, or after a request for the run */
  #url;
  #id = "";
  /** @param {Target} target @param {FollowOptions} options */
  constructor(target, options) {
    const own = typeof target === "object" && "host" in target ? target.host : void 0;
    const given = own instanceof Address ? own : options.host;
    const isAddress = target instanceof URL || typeof target === "string" && /[/:]/.test(target);
    const whole = isAddress && URL.canParse(String(target)) ? new URL(String(target)) : void 0;
    this.options = options;
    this.#host = given instanceof Address ? given : new Address(
      /** @type {string | URL | undefined} */
      given ?? whole?.origin
    );
    if (isAddress) this.#url = whole ?? this.#host.at(String(target));
    else if (typeof target === "string") this.#id = target;
    else if ("stream" in target && target.stream) this.#url = this.#host.at(target.stream);
    else this.#id = /** @type {{ id: string }} */
    target.id;
    if (this.#url) this.#host.check(this.#url);
  }
  /** Whether all sequence numbers of the log are expected. */
  get isWhole() {
    const { types, channels } = this.options;
    return !types && !channels && !this.#url?.searchParams.has("types") && !this.#url?.searchParams.has("channel");
  }
  get isPolling() {
    return this.#mute >= MUTE_CONNECTIONS;
  }
  /** @param {number | undefined} last @returns {AsyncGenerator<string[] | 'open', void, undefined>} */
  async *read(last) {
    await this.#locate();
    let after = last ?? this.#begin;
    if (!this.isPolling) return yield* this.#stream(after);
    this.#polls += 1;
    if (this.#polls >= POLLS_IN_A_ROW) this.#mute = this.#polls = 0;
    const wholeMs = Math.min((this.options.openMs ?? OPEN_MS) * 2 ** this.#mutePolls, WHOLE_MS);
    try {
      if (after === void 0 && this.options.from === "now") after = this.#begin = await this.#now();
      yield* this.#connection(after, { live: false }, wholeMs, wholeMs);
      this.#mutePolls = 0;
    } catch (error) {
      if (error instanceof Silence && !error.heard) this.#mutePolls += 1;
      throw error;
    }
  }
  /** @param {number | undefined} after @returns {AsyncGenerator<string[] | 'open', void, undefined>} */
  async *#stream(after) {
    const heartbeat = this.options.heartbeatSeconds ?? HEARTBEAT_SECONDS;
    const silenceMs = heartbeat * SILENCE_HEARTBEATS * 1e3;
    try {
      yield* this.#connection(after, { heartbeat }, this.options.openMs ?? OPEN_MS, silenceMs);
    } catch (error) {
      if (error instanceof Silence && !error.heard) this.#mute += 1;
      else this.#mute = 0;
      throw error;
    }
  }
  async #locate() {
    if (this.#url) return;
    const path = `/api/runs/${encodeURIComponent(this.#id)}`;
    const run = await this.#host.request("GET", path, { signal: this.#patience() });
    this.#url = this.#host.at(run.stream);
  }
  /**
   * The number of the newest event. With `now`, each poll would skip the events since the previous poll.
   * @returns {Promise<number>}
   */
  async #now() {
    const url = new URL(
      /** @type {URL} */
      this.#url
    );
    url.pathname += "/status";
    url.search = "";
    const response = await this.#host.fetch(url, { headers: { accept: "application/json" }, signal: this.#patience() });
    if (!response.ok) throw await HostError.of(response);
    return (await response.json()).last_seq;
  }
  /** @param {number | undefined} after @param {Query} more */
  #address(after, more) {
    const { types, channels, tail, from, intervalMs: interval } = this.options;
    const url = new URL(
      /** @type {URL} */
      this.#url
    );
    url.searchParams.delete("envelope");
    const place = after === void 0 ? { tail, from } : { after };
    for (const [name, value] of Object.entries({ types, channel: channels, interval, ...place, ...more })) {
      if (value !== void 0) url.searchParams.set(name, String(value));
    }
    if (!this.joins) url.searchParams.delete("interval");
    return url;
  }
  /** The abort signal of a request whose response is not a stream. */
  #patience() {
    const timeout = AbortSignal.timeout(this.options.openMs ?? OPEN_MS);
    return this.options.signal ? AbortSignal.any([this.options.signal, timeout]) : timeout;
  }
  /**
   * One connection, until it ends or is lost; yields `open` at the first byte.
   * @param {number | undefined} after @param {Query} query @param {number} openMs @param {number} silenceMs
   * @returns {AsyncGenerator<string[] | 'open', void, undefined>}
   */
  async *#connection(after, query, openMs, silenceMs) {
    const watchdog = new Watchdog(this.options.signal);
    try {
      watchdog.expect(openMs);
      const headers = { accept: "text/event-stream" };
      if (after) headers["last-event-id"] = String(after);
      const response = await this.#host.fetch(this.#address(after, query), { headers, signal: watchdog.signal });
      if (response.status === 204) {
        this.ended = true;
        return;
      }
      if (!response.ok) throw await HostError.of(response);
      const type = response.headers.get("content-type") ?? "nothing";
      if (!type.startsWith("text/event-stream") || !response.body) {
        throw new Error(`expected a stream, got ${type}; a proxy may have answered instead of the host`);
      }
      const reader = response.body.getReader();
      const frames = new Frames();
      for (let isFirst = true; ; isFirst = false) {
        watchdog.expect(isFirst ? openMs : silenceMs);
        const { done: done2, value } = await reader.read();
        watchdog.rest();
        if (done2) return;
        if (isFirst) {
          this.#mute = this.isPolling ? this.#mute : 0;
          yield "open";
        }
        for (let at = 0; at < value.length; at += PIECE_BYTES) {
          const whole = frames.take(value.subarray(at, at + PIECE_BYTES));
          this.retryMs = frames.retryMs;
          yield whole;
        }
      }
    } finally {
      watchdog.close();
    }
  }
};

// log.js
var ENDS = /* @__PURE__ */ new Set(["run.completed", "run.failed", "run.cancelled"]);
function isEnd(event) {
  return event.seq !== void 0 && ENDS.has(event.type);
}
var Overlap = class extends Error {
};
var Log = class {
  ended = false;
  /** @type {Error | undefined} an error of the connection, after its valid events */
  fault;
  /** The position of missing events: if they are missing again after a reconnect, the log does not have them. */
  #missing = NaN;
  /** @param {number | undefined} after @param {boolean} isWhole whether all sequence numbers are expected */
  constructor(after, isWhole) {
    this.last = after;
    this.isWhole = isWhole;
  }
  /** @param {string[]} frames */
  take(frames) {
    this.fault = void 0;
    const events = [];
    for (const frame of frames) {
      try {
        this.#takeOne(JSON.parse(frame), events);
      } catch (error) {
        this.fault = error instanceof Overlap ? error : new Error("the stream is corrupt", { cause: error });
      }
      if (this.fault || this.ended) break;
    }
    return events;
  }
  /** @param {StreamEvent | Notice} event @param {(StreamEvent | Notice)[]} events */
  #takeOne(event, events) {
    if (event.seq === void 0) {
      if (event.type !== "gap") return;
      if (event.data.reason === "unknown-position") this.last = 0;
      else this.last = Math.max(this.last ?? 0, event.data.to ?? 0);
      events.push(event);
      return;
    }
    const first = firstOf(event);
    const last = this.last ?? first - 1;
    if (event.seq <= last) return;
    if (first <= last) throw new Overlap(`the events ${first} to ${event.seq} came as one, after ${last} had come`);
    if (this.isWhole && first > last + 1) {
      if (this.#missing !== last) {
        this.#missing = last;
        this.fault = new Error(`events ${last + 1} to ${first - 1} are missing`);
        return;
      }
      events.push({ type: "gap", data: { from: last + 1, to: first - 1, reason: "missing" } });
    }
    this.last = event.seq;
    this.ended = isEnd(event);
    events.push(event);
  }
};
function firstOf({ seq, first_seq: first = seq }) {
  const isRange = Number.isSafeInteger(seq) && Number.isSafeInteger(first) && first > 0 && first <= seq;
  if (!isRange) throw new TypeError("an event has no number");
  return first;
}

// follow.js
async function* follow(target, options) {
  for await (const events of followBatches(target, options)) yield* events;
}
async function* followBatches(target, options = {}) {
  const { signal, giveUpMs = Infinity } = options;
  const onState = telling(options.onState);
  const line = new Line(target, options);
  const log = new Log(options.after, line.isWhole);
  let failures = 0;
  let heard = Date.now();
  for (; ; ) {
    signal?.throwIfAborted();
    const { isPolling } = line;
    onState({ state: isPolling ? "polling" : "connecting", after: log.last });
    let wait = options.pollMs ?? POLL_MS;
    let isAskedFor = true;
    try {
      for await (const frames of line.read(log.last)) {
        heard = Date.now();
        if (frames === "open") {
          if (!isPolling) onState({ state: "open", after: log.last });
          continue;
        }
        const events = log.take(frames);
        if (events.length) {
          failures = 0;
          yield events;
        }
        if (log.fault) throw log.fault;
        if (log.ended) break;
      }
      if (log.ended || line.ended) return onState({ state: "ended", after: log.last });
      if (!isPolling) throw new Error("the stream ended before its run");
      failures = 0;
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof Overlap) line.joins = false;
      if (!mayPass(error) || Date.now() - heard > giveUpMs) throw error;
      wait = backoff(failures, options.retryMs ?? line.retryMs, retryAfter(error));
      isAskedFor = retryAfter(error) !== void 0;
      failures += 1;
      onState({ state: "waiting", after: log.last, error, retryInMs: wait });
    }
    await pause(wait, { signal, isAskedFor });
  }
}
function telling(listener) {
  return (state) => {
    try {
      listener?.(state);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  };
}

// host.js
var START_RETRIES = 4;
var Host = class extends Address {
  /** @param {string} task @param {unknown} [input] @param {StartOptions} [options] */
  start(task, input, options) {
    return launch(this, `${taskPath(task)}/runs`, input, options);
  }
  /** @param {string} id */
  run(id) {
    return new Run(this, id);
  }
  /** @param {Query & { labels?: Record<string, string> }} [filter] */
  runs({ labels, ...query } = {}) {
    const [label] = Object.entries(labels ?? {}).map(([name, value]) => `${name}:${value}`);
    return this.request("GET", "/api/runs", { query: { label, ...query } });
  }
  async tasks() {
    return this.request("GET", "/api/tasks");
  }
  /** @param {string} name */
  async task(name) {
    return this.request("GET", taskPath(name));
  }
  /** @param {string} name @param {Blob | ArrayBuffer | ArrayBufferView} file @param {{ signal?: AbortSignal }} [options] */
  async putTask(name, file, { signal } = {}) {
    const headers = { "content-type": "application/wasm" };
    const { status } = await this.open("PUT", taskPath(name), { body: file, headers, signal });
    return status === 201 ? "created" : status === 202 ? "accepted" : "replaced";
  }
};
var Run = class {
  /** @param {Host} host @param {string | RunInfo} run */
  constructor(host, run) {
    this.host = host;
    this.id = typeof run === "string" ? run : run.id;
    this.stream = typeof run === "string" ? void 0 : run.stream;
  }
  /** @param {string} method @param {string} [path] @param {{ query?: Query, body?: unknown, signal?: AbortSignal }} [options] */
  #ask(method, path = "", options) {
    return this.host.request(method, `/api/runs/${encodeURIComponent(this.id)}${path}`, options);
  }
  /** @param {{ signal?: AbortSignal }} [options] @returns {Promise<RunInfo>} */
  info(options) {
    return this.#ask("GET", "", options);
  }
  /** @param {FollowOptions} [options] */
  follow(options) {
    return follow(this, options);
  }
  /** @param {{ signal?: AbortSignal }} [options] */
  async result({ signal } = {}) {
    const end = follow(this, { host: this.host, signal, from: "now", types: [...ENDS] });
    while (!(await end.next()).done) ;
    const run = await this.info({ signal });
    if (run.status !== "completed") throw new RunError(run);
    return run.final_value;
  }
  /** @returns {Promise<RunInfo>} */
  cancel() {
    return this.#ask("POST", "/cancel");
  }
  /** @param {unknown} [input] @param {StartOptions} [options] */
  retry(input, options) {
    return launch(this.host, `/api/runs/${encodeURIComponent(this.id)}/retry`, input, options);
  }
  /** @returns {Promise<RunInfo>} */
  pause() {
    return this.#ask("POST", "/pause");
  }
  /** @returns {Promise<RunInfo>} */
  resume() {
    return this.#ask("POST", "/resume");
  }
  /** @param {string} name @param {unknown} [payload] @returns {Promise<RunInfo>} */
  signal(name, payload) {
    return this.#ask("POST", `/signals/${encodeURIComponent(name)}`, { body: payload });
  }
  /** @param {string} name @param {unknown} value @returns {Promise<RunInfo>} */
  setParameter(name, value) {
    return this.#ask("PUT", `/parameters/${encodeURIComponent(name)}`, { body: value });
  }
  /** @returns {Promise<Record<string, unknown>>} */
  parameters() {
    return this.#ask("GET", "/parameters");
  }
  children() {
    return this.#ask("GET", "/children");
  }
  files() {
    return this.#ask("GET", "/files");
  }
  /** @returns {Promise<void>} */
  delete() {
    return this.#ask("DELETE");
  }
};
async function launch(host, path, input, options = {}) {
  const { id, labels, idempotencyKey, notBefore, delay, priority, resources, ifBusy, onDisconnect, signal } = options;
  const key = idempotencyKey ?? (id ? void 0 : randomName());
  const headers = key ? { "idempotency-key": key } : void 0;
  const label = Object.entries(labels ?? {}).map(([name, value]) => `${name}:${value}`);
  const moment = notBefore instanceof Date ? notBefore.toISOString() : notBefore;
  const wish = { resource: resources, if_busy: ifBusy, on_disconnect: onDisconnect };
  const query = { id, label, not_before: moment, delay, priority, ...wish };
  for (let tries = 0; ; tries += 1) {
    try {
      return new Run(host, await host.request("POST", path, { query, body: input, headers, signal }));
    } catch (error) {
      signal?.throwIfAborted();
      if (tries >= START_RETRIES || !mayPass(error)) throw error;
      const leastMs = retryAfter(error);
      await pause(backoff(tries, void 0, leastMs), { signal, isAskedFor: leastMs !== void 0 });
    }
  }
}
function taskPath(name) {
  const parts = name.includes("/") ? name.split("/") : ["default", name];
  return `/api/tasks/${parts.map(encodeURIComponent).join("/")}`;
}
function randomName() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// progress.js
var MAX_ITEMS = 1e3;
var OUTCOMES = (
  /** @type {const} */
  ["completed", "failed", "cancelled"]
);
var STATUSES = /* @__PURE__ */ new Set(["waiting", "running", "completed", "failed", "skipped"]);
var number = (value) => typeof value === "number" && Number.isFinite(value) ? value : void 0;
var text = (value) => typeof value === "string" ? value : void 0;
var Progress = class {
  /** In the order of their first events. @type {Map<string, ProgressItem>} */
  items = /* @__PURE__ */ new Map();
  /** Created on demand. @type {ReturnType<typeof treeOf> | undefined} */
  #tree;
  /** Applies the data of an event. Returns the item that it updates, if it is valid. @param {any} data */
  update(data) {
    if (data === null || typeof data !== "object") return void 0;
    const done2 = number(data.done) ?? number(data.step);
    const percent = number(data.percent);
    const id = text(data.id);
    if (id === void 0 && done2 === void 0 && percent === void 0) return void 0;
    const before = this.items.get(id ?? "") ?? { id: id ?? "", status: "running" };
    if (!this.items.has(before.id) && this.items.size >= MAX_ITEMS) return void 0;
    const given = {
      parent: text(data.parent),
      weight: number(data.weight),
      status: STATUSES.has(data.status) ? data.status : void 0,
      done: done2,
      total: number(data.total),
      percent,
      message: text(data.message)
    };
    const said = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== void 0));
    const item = { ...before, ...said };
    this.items.set(item.id, item);
    this.#tree = void 0;
    return item;
  }
  /**
   * Closes all open items when the run has ended.
   * @param {string} status `completed`, `failed` or `cancelled`
   */
  close(status) {
    const outcome = OUTCOMES.find((one) => one === status);
    if (outcome === void 0) return;
    for (const item of this.items.values()) {
      if (item.status === "waiting" || item.status === "running") this.items.set(item.id, { ...item, status: outcome });
    }
    this.#tree = void 0;
  }
  /** From 0 to 1; undefined if unknown. Without an ID, the run's. @param {string} [id] */
  fraction(id) {
    const { nodes, fraction } = this.#added();
    return id === void 0 ? fraction : nodes.get(id)?.fraction;
  }
  /** The tree of items, with fractions summed by weight. */
  tree() {
    const { roots, fraction } = this.#added();
    return { roots, fraction };
  }
  #added() {
    this.#tree ??= treeOf(this.items);
    return this.#tree;
  }
};
function treeOf(items) {
  const nodes = /* @__PURE__ */ new Map();
  for (const item of items.values()) nodes.set(item.id, { item, parts: [], fraction: void 0 });
  const circular = inCircles(items);
  const roots = [];
  for (const node of nodes.values()) {
    const { id, parent } = node.item;
    const above = parent === void 0 || circular.has(id) ? void 0 : nodes.get(parent);
    (above?.parts ?? roots).push(node);
  }
  const order = [...roots];
  for (let at = 0; at < order.length; at += 1) order.push(.../** @type {ProgressNode} */
  order[at].parts);
  for (const node of order.reverse()) node.fraction = saidOf(node.item) ?? rollUp(node.parts);
  const whole = nodes.get("");
  return { nodes, roots, fraction: whole?.fraction ?? rollUp(roots.filter((root) => root !== whole)) };
}
function inCircles(items) {
  const circular = /* @__PURE__ */ new Set();
  const seen = /* @__PURE__ */ new Map();
  let walk = 0;
  for (const start2 of items.values()) {
    walk += 1;
    let at = (
      /** @type {ProgressItem | undefined} */
      start2
    );
    for (; at && !seen.has(at.id); at = at.parent === void 0 ? void 0 : items.get(at.parent)) seen.set(at.id, walk);
    if (!at || seen.get(at.id) !== walk) continue;
    for (; at && !circular.has(at.id); at = items.get(at.parent ?? "")) circular.add(at.id);
  }
  return circular;
}
function saidOf({ status, percent, done: done2, total }) {
  if (status === "completed" || status === "skipped") return 1;
  if (percent !== void 0) return Math.min(Math.max(percent / 100, 0), 1);
  if (done2 !== void 0 && total !== void 0 && total > 0) return Math.min(Math.max(done2 / total, 0), 1);
  return void 0;
}
function rollUp(parts) {
  let sum = 0;
  let weights = 0;
  for (const { item, fraction } of parts) {
    const weight = Math.max(item.weight ?? 1, 0);
    sum += weight * (fraction ?? 0);
    weights += weight;
  }
  return weights > 0 ? sum / weights : void 0;
}

// library:markdown-it
var markdown_it_default = libraries.markdown_it;

// library:dompurify
var dompurify_default = libraries.dompurify;

// sanitize.js
var ELEMENTS = "a abbr article aside b bdi bdo blockquote br caption cite code col colgroup data dd del details dfn div dl dt em figcaption figure footer h1 h2 h3 h4 h5 h6 header hgroup hr i img ins kbd li main mark meter ol output p pre progress q rp rt ruby s samp section small span strong sub summary sup table tbody td tfoot th thead time tr u ul var wbr".split(" ");
var HIDDEN = "applet audio base canvas embed frame frameset head iframe link math meta noembed noframes noscript object option param picture plaintext script select source style svg template textarea title track video xmp".split(" ");
var ATTRIBUTES = "id class dir lang role title data-stream data-stream-mode data-stream-format data-stream-limit data-stream-scroll data-loading-class dj-stream dj-stream-mode".split(" ");
var OWN_ATTRIBUTES = (
  /** @type {Record<string, string[]>} */
  {
    a: ["href", "target"],
    img: ["src", "alt", "width", "height"],
    td: ["colspan", "rowspan", "headers"],
    th: ["colspan", "rowspan", "headers", "scope"],
    col: ["span"],
    colgroup: ["span"],
    ol: ["start", "reversed", "type"],
    li: ["value"],
    details: ["open"],
    time: ["datetime"],
    data: ["value"],
    meter: ["value", "min", "max", "low", "high", "optimum"],
    progress: ["value", "max"]
  }
);
var NAMES = new Set(
  "id class data-loading-class headers aria-activedescendant aria-controls aria-describedby aria-details aria-errormessage aria-flowto aria-labelledby aria-owns".split(" ")
);
var LINKS = /* @__PURE__ */ new Set(["http:", "https:", "mailto:", "tel:"]);
var IMAGES = /* @__PURE__ */ new Set(["http:", "https:"]);
var IMAGE_DATA = /^data:image\/(png|jpeg|gif|webp|avif);base64,/i;
var MAX_DEPTH = 200;
var PREFIX = "user-content-";
var ALL_ATTRIBUTES = [.../* @__PURE__ */ new Set([...ATTRIBUTES, ...Object.values(OWN_ATTRIBUTES).flat()])];
var CONFIG = (
  /** @type {Config & { RETURN_DOM_FRAGMENT: true }} */
  {
    ALLOWED_TAGS: ELEMENTS,
    ALLOWED_ATTR: ALL_ATTRIBUTES,
    // Other attributes contain no URLs: for example, a target's name can contain a colon.
    ADD_URI_SAFE_ATTR: ALL_ATTRIBUTES.filter((name) => name !== "href" && name !== "src"),
    ALLOW_ARIA_ATTR: true,
    ALLOW_DATA_ATTR: false,
    ALLOWED_NAMESPACES: ["http://www.w3.org/1999/xhtml"],
    FORBID_CONTENTS: HIDDEN,
    RETURN_DOM_FRAGMENT: true
  }
);
var purifier;
var rules;
function sanitize(html, { page = document, images = "same-origin", prefix: prefix2 = PREFIX } = {}) {
  rules = { page, images, prefix: prefix2 };
  purifier ??= makePurifier();
  const fragment = purifier.sanitize(html, CONFIG);
  cutDeep(fragment);
  return page.importNode(fragment, true);
}
function makePurifier() {
  const made = dompurify_default(window);
  made.addHook("uponSanitizeAttribute", (element, attribute) => {
    const value = allowed(element.localName, attribute);
    attribute.keepAttr = value !== void 0;
    attribute.attrValue = value ?? "";
  });
  made.addHook("afterSanitizeAttributes", (element) => {
    if (element.localName === "a") element.setAttribute("rel", "noopener noreferrer nofollow");
  });
  return made;
}
function allowed(element, { attrName: name, attrValue: value }) {
  const isCommon = ATTRIBUTES.includes(name) || /^aria-[a-z]+$/.test(name);
  if (!isCommon && !OWN_ATTRIBUTES[element]?.includes(name)) return void 0;
  if (NAMES.has(name)) return prefixed(value) || void 0;
  if (name === "href") return value.startsWith("#") ? `#${prefixed(value.slice(1))}` : isLink(value, rules.page) ? value : void 0;
  if (name === "src") return isImage(value) ? value : void 0;
  if (name === "target") return value === "_blank" ? value : void 0;
  return value;
}
function prefixed(names) {
  const { prefix: prefix2 } = rules;
  return names.replace(/[^\s]+/g, (name) => name.startsWith(prefix2) ? name : prefix2 + name);
}
function isImage(url) {
  const { images, page } = rules;
  if (IMAGE_DATA.test(url)) return true;
  if (images === "data" || !hasScheme(url, IMAGES, page)) return false;
  return images === "any" || new URL(url, page.baseURI).origin === page.location.origin;
}
function isLink(url, page = globalThis.document) {
  return hasScheme(url, LINKS, page);
}
function hasScheme(url, schemes, page) {
  const base = page?.baseURI ?? "http://localhost/";
  return URL.canParse(url, base) && schemes.has(new URL(url, base).protocol);
}
function cutDeep(fragment) {
  const walker = fragment.ownerDocument.createTreeWalker(fragment, NodeFilter.SHOW_ELEMENT);
  for (let depth = 0; ; ) {
    if (depth >= MAX_DEPTH) walker.currentNode.replaceChildren();
    if (walker.firstChild()) {
      depth += 1;
      continue;
    }
    while (!walker.nextSibling()) {
      if (!walker.parentNode()) return;
      depth -= 1;
    }
  }
}

// markdown-parser.js
var MAX_LEVEL = 24;
var MAX_COLUMNS = 64;
var MAX_ADDED = 1e3;
var md = new markdown_it_default({ html: false, linkify: true, maxNesting: 100 });
md.disable(["code", "reference"]);
md.validateLink = (url) => isLink(url);
md.normalizeLinkText = (url) => url;
md.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });
for (const schema of ["ftp:", "mailto:", "//"]) md.linkify.add(schema, null);
var [table] = md.block.ruler.getRules("");
md.block.ruler.at("table", boundedTable, { alt: ["paragraph", "reference"] });
md.block.ruler.before("table", "note", note, { alt: ["list"] });
function parse(source) {
  const places = /* @__PURE__ */ new Map();
  return { source, lines: source.split("\n"), tokens: md.parse(source, { places }), places };
}
function parseInline(source) {
  return md.parseInline(source, {})[0]?.children ?? [];
}
function placeOf({ places }, token) {
  return places.get(`${token.map?.[0]}:${token.level}`);
}
function note(state, line, end, isSilent) {
  const column = state.blkIndent;
  const indent = (state.sCount[line] ?? 0) - column;
  const offset = (state.bMarks[line] ?? 0) + (state.tShift[line] ?? 0);
  const places = (
    /** @type {Map<string, Place>} */
    state.env.places
  );
  places?.set(`${line}:${state.level}`, { column, indent, offset });
  if (isSilent || state.level < MAX_LEVEL && !isTooWide(state, line + 1, end)) return false;
  plain(state, line, end);
  return true;
}
function isTooWide(state, line, end) {
  if (line >= end || (state.eMarks[line] ?? 0) - (state.bMarks[line] ?? 0) < MAX_COLUMNS) return false;
  const text2 = state.getLines(line, line + 1, state.blkIndent, false);
  return /^[\s|:-]+$/.test(text2) && text2.split("|").length > MAX_COLUMNS + 2;
}
function boundedTable(state, line, end, isSilent) {
  if (!table?.(state, line, end, true)) return false;
  return isSilent || table(state, line, endOfTable(state, line, end), false);
}
function endOfTable(state, line, end) {
  const cells = (at) => state.src.slice(state.bMarks[at], state.eMarks[at]).split("|").length;
  const columns = cells(line + 1) - 2;
  let added = 0;
  for (let at = line + 2; at < end && !state.isEmpty(at); at += 1) {
    added += Math.max(0, columns - cells(at));
    if (added > MAX_ADDED) return at;
  }
  return end;
}
function plain(state, from, end) {
  let to = from + 1;
  while (to < end && !state.isEmpty(to) && (state.sCount[to] ?? 0) >= state.blkIndent) to += 1;
  state.line = to;
  state.push("paragraph_open", "p", 1).map = [from, to];
  const text2 = state.push("inline", "", 0);
  text2.content = state.getLines(from, to, state.blkIndent, false).trim();
  text2.map = [from, to];
  text2.children = [];
  state.push("paragraph_close", "p", -1);
}

// markdown-cut.js
var MAX_INFO = 100;
var MAX_TRIES = 8;
var begins = (token) => token.nesting >= 0 && token.map !== null && token.type !== "inline";
function lastBlock({ tokens }) {
  return tokens.findLast(begins);
}
function cut(parsed, keep) {
  const { tokens, lines: lines2 } = parsed;
  const last = lastBlock(parsed);
  if (last && isOpenFence(parsed, last) && lines2.length - 2 > startOf(last)) return cutAt(parsed, lines2.length - 1, last);
  const starts = [...new Set(tokens.filter(begins).map(startOf))];
  const line = starts.length > keep ? starts.at(-keep) : void 0;
  return line === void 0 ? void 0 : cutAt(parsed, line);
}
function cutAt(parsed, line, fence) {
  const { tokens } = parsed;
  const { stack, at } = openAt(tokens, fence ? (token) => token === fence : (token) => begins(token) && startOf(token) >= line);
  const next = tokens[at];
  const table2 = stack.findIndex(({ type }) => type === "table_open");
  const source = fence ? restOfFence(parsed, line, stack, fence) : table2 >= 0 ? restOfTable(parsed, line, stack, table2) : next && restOf(parsed, next, stack);
  if (source === void 0 || source === parsed.source) return void 0;
  const rest = parse(source);
  if (!isSame(parsed, at, rest, stack, fence !== void 0)) return void 0;
  if (!fence) return { stop: { line }, rest };
  const text2 = codeLines(fence).slice(0, line - startOf(fence) - 1).join("\n");
  return { stop: { inside: fence, text: text2 }, rest };
}
function openAt(tokens, isIt) {
  const stack = [];
  for (const [at, token] of tokens.entries()) {
    if (isIt(token)) return { stack, at };
    if (token.nesting > 0) stack.push(token);
    else if (token.nesting < 0) stack.pop();
  }
  return { stack, at: tokens.length };
}
function prefix(parsed, stack, isFirst) {
  let text2 = "";
  let column = 0;
  for (const token of stack) {
    if (token.type === "blockquote_open") {
      text2 += "> ";
      column = 0;
    } else if (token.type === "list_item_open") {
      const child = parsed.tokens[parsed.tokens.indexOf(token) + 1];
      const place = child && placeOf(parsed, child);
      if (!place) return void 0;
      const width = place.column - column;
      const marker = token.info + token.markup;
      text2 += isFirst ? `${" ".repeat(Math.max(0, width - marker.length - 4))}${marker}`.padEnd(width) : " ".repeat(width);
      column = place.column;
    }
  }
  return text2;
}
function lead(parsed, stack, block) {
  const place = placeOf(parsed, block);
  const markers = prefix(parsed, stack, true);
  if (!place || markers === void 0) return void 0;
  const indent = " ".repeat(Math.max(0, place.indent));
  const isInItem = stack.at(-1)?.type === "list_item_open" && indent !== "";
  return isInItem ? `${markers.trimEnd()}
${prefix(parsed, stack, false)}${indent}` : markers + indent;
}
function restOf(parsed, next, stack) {
  const before = lead(parsed, stack, next);
  return before === void 0 ? void 0 : before + parsed.source.slice(placeOf(parsed, next)?.offset);
}
function restOfFence(parsed, line, stack, fence) {
  const head = fenceHead(parsed, stack, fence);
  return head === void 0 ? void 0 : [head, ...parsed.lines.slice(line)].join("\n");
}
function fenceHead(parsed, stack, fence) {
  const before = lead(parsed, stack, fence);
  return before === void 0 ? void 0 : before + fence.markup + languageOf(fence);
}
function restOfTable(parsed, line, stack, table2) {
  const { tokens, lines: lines2 } = parsed;
  const from = tokens.indexOf(
    /** @type {Token} */
    stack[table2]
  );
  const head = tokens.slice(from, tokens.findIndex(({ type }, at) => at > from && type === "thead_close"));
  const columns = head.filter(({ type }) => type === "th_open").length;
  const first = prefix(parsed, stack, true);
  if (first === void 0) return void 0;
  const above = startOf(tokens[from]) + 2;
  if (columns * (line - above) > lines2.slice(above, line).join("\n").length) return void 0;
  const row = (cell) => `|${`${cell}|`.repeat(columns)}`;
  return [first + row(" "), prefix(parsed, stack, false) + row("-"), ...lines2.slice(line)].join("\n");
}
function isSame(whole, at, rest, stack, isCode) {
  const table2 = stack.findIndex(({ type }) => type === "table_open");
  const head = table2 < 0 ? -1 : rest.tokens.findIndex(({ type }) => type === "thead_close");
  const from = head < 0 ? stack.length : head + stack.length - table2;
  const outer = head < 0 ? stack : stack.slice(0, table2);
  if (outer.some(({ type }, nth) => rest.tokens[nth]?.type !== type)) return false;
  if (prefix(whole, outer, false) !== prefix(rest, rest.tokens.slice(0, outer.length), false)) return false;
  if (rest.tokens.length - from !== whole.tokens.length - at) return false;
  return rest.tokens.slice(from).every((token, nth) => {
    const other = (
      /** @type {Token} */
      whole.tokens[at + nth]
    );
    return token.type === other.type && token.markup === other.markup && (isCode || token.content === other.content);
  });
}
function startOf(token) {
  return token?.map?.[0] ?? 0;
}
function languageOf(fence) {
  return /^[\w+#.-]+/.exec(fence.info.trim())?.[0].slice(0, MAX_INFO) ?? "";
}
function codeLines({ content }) {
  return content === "" ? [] : content.replace(/\n$/, "").split("\n");
}
function isOpenFence({ lines: lines2 }, token) {
  if (token.type !== "fence" || !token.map) return false;
  const [from, to] = token.map;
  const isLast = to === lines2.length - (lines2.at(-1) === "" ? 1 : 0);
  return isLast && codeLines(token).length === to - from - 1;
}
function split(parsed, keep) {
  const last = lastBlock(parsed);
  if (!last) return void 0;
  const { stack } = openAt(parsed.tokens, (token) => token === last);
  if (isOpenFence(parsed, last)) return splitCode(parsed, stack, last, keep);
  return last.type === "paragraph_open" ? splitText(parsed, stack, last, keep) : void 0;
}
function splitCode(parsed, stack, fence, keep) {
  const head = fenceHead(parsed, stack, fence);
  const text2 = codeLines(fence).at(-1);
  const place = placeOf(parsed, fence);
  if (head === void 0 || text2 === void 0 || !place || text2.length <= keep) return void 0;
  const at = boundary(text2, text2.length - keep, /[\p{L}\p{N}]/u, /[^]/);
  const line = prefix(parsed, stack, false) + " ".repeat(place.indent) + text2.slice(at);
  const before = [...codeLines(fence).slice(0, -1), text2.slice(0, at)].join("\n");
  return { stop: { inside: fence, text: before, isWithinLine: true }, rest: parse(`${head}
${line}`) };
}
function splitText(parsed, stack, paragraph, keep) {
  const first = prefix(parsed, stack, true);
  const next = prefix(parsed, stack, false);
  const text2 = parsed.tokens[parsed.tokens.indexOf(paragraph) + 1]?.content ?? "";
  if (first === void 0 || next === void 0 || text2.length <= keep) return void 0;
  const at = boundaryOfText(text2, text2.length - keep);
  const end = paragraph.map?.[1] ?? 0;
  const space = /[ \t]*$/.exec(parsed.lines[end - 1] ?? "")?.[0] ?? "";
  const lines2 = text2.slice(at).split("\n").join(`
${next}`) + space;
  const rest = parse(first + [lines2, ...parsed.lines.slice(end)].join("\n"));
  return { stop: { inside: paragraph, text: text2.slice(0, at) }, rest };
}
function boundary(text2, to, after, before) {
  for (let at = to; at > to / 2; at -= 1) {
    if (after.test(text2[at] ?? "") && before.test(text2[at - 1] ?? "")) return at;
  }
  const isInPair = /[\uD800-\uDBFF]/.test(text2[to - 1] ?? "");
  return isInPair ? to - 1 : to;
}
function boundaryOfText(text2, to) {
  const shown = textOf(text2);
  let at = to;
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    at = boundary(text2, at, /\p{L}/u, /[\s.,:;!?。，、；：！？]/);
    if (textOf(text2.slice(0, at)) + textOf(text2.slice(at)) === shown) return at;
    at -= 1;
  }
  return boundary(text2, to, /\p{L}/u, /[\s.,:;!?。，、；：！？]/);
}
function textOf(text2) {
  return parseInline(text2).map(({ type, content }) => type === "softbreak" ? "\n" : content).join("");
}

// markdown-build.js
var MAX_INLINE = 12;
var TEXT_NODE_CHARS = 4 << 10;
var Builder = class {
  /** @type {Frame[]} */
  #stack;
  /** Frames of the path without a corresponding token so far. @type {Frame[]} */
  #known;
  /** Frames of existing elements. @type {Set<Frame>} */
  #old = /* @__PURE__ */ new Set();
  /** Nodes that were added to existing elements. @type {(Element | Text)[]} */
  added = [];
  /** @param {Element} root @param {Frame[]} path @param {boolean} isSettled whether the built nodes are final */
  constructor(root, path, isSettled) {
    const frame = { type: "root", element: root };
    this.page = root.ownerDocument;
    this.isSettled = isSettled;
    this.#stack = [frame];
    this.#old.add(frame);
    this.#known = [...path];
  }
  /** The element that further text most likely belongs to. @type {Element | undefined} */
  end;
  /** The open frames. */
  get path() {
    return this.#stack.slice(1);
  }
  /** @param {Token[]} tokens @param {Stop} [stop] */
  build(tokens, stop = {}) {
    const { line = Infinity, inside } = stop;
    for (let at = 0; at < tokens.length; at += 1) {
      const token = (
        /** @type {Token} */
        tokens[at]
      );
      if (begins(token) && (token.map?.[0] ?? 0) >= line) return;
      if (token.type === "fence") this.#code(token, token === inside ? stop : void 0);
      else if (token.type === "inline") this.#inline(token.children ?? []);
      else if (token.nesting < 0) this.#stack.pop();
      else if (token.nesting === 0) this.#add(token.tag);
      else if (this.#open(token) && token.type === "table_open") at = tokens.findIndex(({ type }) => type === "thead_close");
      if (token === inside) {
        if (token.type !== "fence") this.#inline(parseInline(stop.text ?? ""));
        return;
      }
    }
  }
  /** @returns {Frame} */
  get #top() {
    return (
      /** @type {Frame} */
      this.#stack.at(-1)
    );
  }
  /** Whether the element that the token opens exists. @param {Token} token */
  #open(token) {
    if (this.#reopen(token.type)) return true;
    const parent = this.#top;
    if (token.type === "paragraph_open" && parent.isFresh) {
      parent.isFresh = false;
      this.#push(token.type, parent.element, this.#old.has(parent));
      return false;
    }
    const element = this.#add(token.tag);
    const start2 = token.attrGet("start");
    if (start2 !== null) element.setAttribute("start", String(start2));
    this.#push(token.type, element).isFresh = token.type === "list_item_open";
    return false;
  }
  /** @param {string} type */
  #reopen(type) {
    const known = this.#known.shift();
    if (known?.type !== type) {
      this.#known = [];
      return false;
    }
    Object.assign(this.#push(type, known.element, true), known);
    return true;
  }
  /** @param {string} type @param {Element} element @param {boolean} [isOld] */
  #push(type, element, isOld = false) {
    const frame = { type, element };
    this.#stack.push(frame);
    if (isOld) this.#old.add(frame);
    return frame;
  }
  /** @param {Token} token @param {Stop} [stop] if the token is incomplete */
  #code(token, stop) {
    if (!this.#reopen("fence")) {
      const element = this.page.createElement("code");
      const language = languageOf(token);
      if (language) element.className = `language-${language}`;
      this.#add("pre").append(element);
      this.#push("fence", element);
    }
    this.end = this.#top.element;
    const lines2 = codeLines(token);
    const text2 = stop ? stop.text : lines2.length > 0 ? lines2.join("\n") : void 0;
    if (text2 !== void 0) {
      this.#text((this.#top.joint ?? "") + text2);
      this.#top.joint = stop?.isWithinLine ? "" : "\n";
    }
    if (!stop) this.#stack.pop();
  }
  /** @param {Token[]} tokens */
  #inline(tokens) {
    this.end = this.#top.element;
    const depth = this.#stack.length;
    let tooDeep = 0;
    let links = 0;
    for (const token of tokens) {
      if (token.nesting > 0) {
        if (token.type === "link_open") links += 1;
        if (tooDeep > 0 || this.#stack.length - depth >= MAX_INLINE) tooDeep += 1;
        else this.#push(token.type, token.type === "link_open" ? this.#link(String(token.attrGet("href"))) : this.#add(token.tag));
      } else if (token.nesting < 0) {
        if (token.type === "link_close") links -= 1;
        if (tooDeep > 0) tooDeep -= 1;
        else this.#stack.pop();
      } else if (token.type === "image" && links === 0) {
        this.#link(String(token.attrGet("src"))).textContent = token.content;
      } else if (token.type === "code_inline") {
        this.#add("code").textContent = token.content;
      } else if (token.type === "hardbreak") {
        this.#add("br");
      } else {
        this.#text(token.type === "softbreak" ? "\n" : token.content);
      }
    }
  }
  /** @param {string} url */
  #link(url) {
    const element = this.#add("a");
    if (isLink(url)) element.setAttribute("href", url);
    element.setAttribute("rel", "noopener noreferrer nofollow");
    return element;
  }
  /** @param {string} name */
  #add(name) {
    const element = this.page.createElement(name);
    this.#append(element);
    this.#top.isFresh = false;
    return element;
  }
  /** @param {string} text */
  #text(text2) {
    const last = this.#top.element.lastChild;
    const isText = last?.nodeType === 3 && /** @type {Text} */
    last.length < TEXT_NODE_CHARS;
    if (isText && this.isSettled) last.appendData(text2);
    else if (text2) this.#append(this.page.createTextNode(text2));
  }
  /** @param {Element | Text} node */
  #append(node) {
    const frame = this.#top;
    frame.element.append(node);
    if (this.#old.has(frame)) this.added.push(node);
  }
};

// markdown.js
var MAX_REST = 2048;
var KEEP = 256;
var PART = 1024;
var EAGER = 512;
var GROWTH = 1 / 16;
var Markdown = class {
  /** The whole text. */
  source = "";
  /** The part that can still change. */
  #rest = "";
  /** The elements that the rest continues, outermost first. @type {Frame[]} */
  #path = [];
  /** What was built of the rest. @type {(Element | Text)[]} */
  #built = [];
  /** Characters that are shown, but not parsed yet. */
  #waiting = "";
  /** Where they are shown. @type {Element} */
  #end;
  /** Whether the last piece ended with `\r`, so that a `\n` at the start of the next one belongs to it. */
  #endsWithReturn = false;
  /** @param {Element} element */
  constructor(element) {
    this.element = element;
    this.#end = element;
  }
  /** @param {string} text */
  append(text2) {
    this.source += text2;
    this.#waiting += this.#lines(text2);
    const isSoon = this.#rest.length > EAGER && this.#waiting.length < this.#rest.length * GROWTH;
    if (isSoon && this.element.contains(this.#end)) this.#show(text2);
    else this.catchUp();
  }
  /** Whether unparsed markup may be visible. */
  get isBehind() {
    return this.#waiting !== "";
  }
  /** Parses all received text. */
  catchUp() {
    for (const node of this.#built.splice(0)) node.remove();
    const inner = this.#path.at(-1)?.element;
    if (inner && !this.element.contains(inner)) this.#path = [];
    const added = this.#waiting;
    this.#waiting = "";
    let parsed;
    for (let at = 0; at < added.length || !parsed; at += PART) {
      this.#rest = (this.#rest + added.slice(at, at + PART)).replace(/^(?:[ \t]*\n)+/, "");
      parsed = this.#settle(parse(this.#rest));
    }
    const builder = new Builder(this.element, this.#path, false);
    builder.build(parsed.tokens);
    this.#built = builder.added;
    this.#end = builder.end ?? this.element;
  }
  /** @param {string} text */
  #show(text2) {
    const node = this.element.ownerDocument.createTextNode(text2);
    this.#end.append(node);
    this.#built.push(node);
  }
  /** With one kind of line end. @param {string} text */
  #lines(text2) {
    const rest = this.#endsWithReturn && text2.startsWith("\n") ? text2.slice(1) : text2;
    if (text2) this.#endsWithReturn = text2.endsWith("\r");
    return rest.replace(/\r\n?/g, "\n");
  }
  /** Builds what can't change any more. @param {Parsed} parsed the rest @returns {Parsed} what is left of it */
  #settle(parsed) {
    let left = this.#cut(parsed, cut(parsed, 2));
    if (this.#rest.length > MAX_REST) left = this.#cut(left, cut(left, 1));
    if (this.#rest.length > MAX_REST) left = this.#cut(left, split(left, KEEP));
    if (this.#rest.length > MAX_REST) left = this.#cut(left, { stop: {}, rest: parse("") });
    return left;
  }
  /** @param {Parsed} parsed @param {Cut | undefined} cut */
  #cut(parsed, cut2) {
    if (!cut2) return parsed;
    const builder = new Builder(this.element, this.#path, true);
    builder.build(parsed.tokens, cut2.stop);
    this.#path = builder.path;
    this.#rest = cut2.rest.source;
    return cut2.rest;
  }
};

// marks.js
function nameOf(element) {
  return element.getAttribute("data-stream") ?? element.getAttribute("dj-stream") ?? "";
}
function tell(node, what, detail) {
  const stream = node instanceof Element ? nameOf(node) : "";
  node.dispatchEvent(new CustomEvent(`stream:${what}`, { bubbles: true, detail: { stream, ...detail } }));
}
function loadingClasses(element) {
  return (element.getAttribute("data-loading-class") ?? "").split(/\s+/).filter(Boolean);
}
function activate(element) {
  if (element.hasAttribute("data-stream-active")) return;
  element.setAttribute("data-stream-active", "true");
  element.setAttribute("aria-busy", "true");
  for (const name of loadingClasses(element)) element.classList.add(name);
}
function deactivate(element) {
  element.removeAttribute("data-stream-active");
  element.removeAttribute("aria-busy");
  for (const name of loadingClasses(element)) element.classList.remove(name);
}
function start(element) {
  clearError(element);
  activate(element);
  tell(element, "start", {});
}
function done(element) {
  deactivate(element);
  tell(element, "done", {});
}
function fail(element, message) {
  deactivate(element);
  clearError(element);
  element.setAttribute("data-stream-error", "true");
  const note2 = document.createElement("div");
  note2.className = "stream-error dj-stream-error";
  note2.setAttribute("role", "alert");
  note2.textContent = message;
  element.append(note2);
  tell(element, "error", { error: message });
}
function clearError(element) {
  if (!element.hasAttribute("data-stream-error")) return;
  element.removeAttribute("data-stream-error");
  for (const child of [...element.children]) if (child.matches(".stream-error[role=alert]")) child.remove();
}

// queue.js
var ADDING = /* @__PURE__ */ new Set(["text", "insert", "line"]);
var MARKS = /* @__PURE__ */ new Set(["start", "done", "error"]);
var Queue = class {
  /** @type {Entry[]} */
  #entries = [];
  /** Entries that can still take more updates, by target. @type {Map<string | Element, Entry>} */
  #open = /* @__PURE__ */ new Map();
  /** Entries that a replacement would make redundant, by target. @type {Map<string | Element, Entry[]>} */
  #content = /* @__PURE__ */ new Map();
  #pieces = 0;
  /** The number of pending updates. */
  get size() {
    return this.#pieces;
  }
  take() {
    const entries = this.#entries;
    this.#entries = [];
    this.#open.clear();
    this.#content.clear();
    this.#pieces = 0;
    return entries;
  }
  /** @param {Update} update @param {string | Element} target */
  add(update, target) {
    this.#pieces += 1;
    const creates = createsTargets(update);
    const open = this.#open.get(target);
    if (open && !creates && joins(open, update)) return;
    const entry = { op: update.op, update, target, pieces: [piece(update)] };
    this.#entries.push(entry);
    if (!MARKS.has(update.op)) this.#note(entry);
    if (creates) this.#open.clear();
    else if (MARKS.has(update.op)) this.#open.delete(target);
    else this.#open.set(target, entry);
  }
  /** Marks earlier content as redundant if this replaces it. @param {Entry} entry */
  #note(entry) {
    const { target } = entry;
    const earlier = this.#content.get(target) ?? [];
    if (replaces(entry.update)) for (const one of earlier.splice(0)) one.isMoot = true;
    earlier.push(entry);
    this.#content.set(target, earlier);
  }
};
function replaces({ op, mode }) {
  return op === "html" || op === "state" || op === "progress" || op === "text" && mode === "replace";
}
function createsTargets({ op, html }) {
  return (op === "html" || op === "insert") && /(data|dj)-stream/i.test(String(html));
}
function piece(update) {
  return update.op === "text" ? String(update.text ?? "") : update.op === "insert" ? String(update.html ?? "") : update;
}
function joins(open, update) {
  if (update.op === "prune" && open.op === "insert") return joinsPrune(open, update);
  const isSame2 = update.op === open.op && update.mode === open.update.mode && update.at === open.update.at;
  if (!isSame2 || !ADDING.has(open.op)) return false;
  if (update.mode === "replace") open.pieces.length = 0;
  open.pieces.push(piece(update));
  return true;
}
function joinsPrune(open, update) {
  const edge = update.edge ?? "top";
  const isOther = edge === (open.update.at === "prepend" ? "bottom" : "top");
  const isSame2 = !open.prune || open.prune.limit === update.limit && (open.prune.edge ?? "top") === edge;
  if (isOther && isSame2) Object.assign(open, { prune: update, pruned: open.pieces.length });
  return isOther && isSame2;
}

// scrolling.js
var NEAR_PX = 100;
var Scrolling = class {
  /** @type {Set<Element>} */
  #atEnd = /* @__PURE__ */ new Set();
  /** @param {Element[]} elements */
  constructor(elements) {
    const seen = /* @__PURE__ */ new Set();
    for (const element of new Set(elements)) {
      const box = boxOf(element);
      if (!box || seen.has(box)) continue;
      seen.add(box);
      if (box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX) this.#atEnd.add(box);
    }
  }
  restore() {
    for (const box of this.#atEnd) {
      if (box.isConnected) box.scrollTo({ top: box.scrollHeight, behavior: "instant" });
    }
  }
};
function boxOf(element) {
  const wish = element.closest("[data-stream-scroll]")?.getAttribute("data-stream-scroll");
  if (wish === "none") return void 0;
  if (wish === "page") return element.ownerDocument.scrollingElement ?? void 0;
  const { body, documentElement } = element.ownerDocument;
  for (let box = (
    /** @type {Element | null} */
    element
  ); box && box !== body && box !== documentElement; box = box.parentElement) {
    if (/auto|scroll/.test(getComputedStyle(box).overflowY)) return box;
  }
  return void 0;
}

// selector.js
var PARTS = /\\[^]|"(?:[^"\\]|\\[^])*"|'(?:[^'\\]|\\[^])*'|\[[^\]]*\]|([#.])((?:[-\w]|[^\0-\x7f]|\\[^])+)/g;
function withPrefix(selector, prefix2) {
  if (!prefix2) return selector;
  return selector.replace(PARTS, (part, mark, name) => mark ? `:is(${part}, ${mark}${CSS.escape(prefix2)}${name})` : part);
}

// view.js
var NO_FRAME_MS = 1e3;
var TEXT_NODE_CHARS2 = 64 << 10;
var CATCH_UP_MS = 100;
var MAX_LINES = 5e3;
var NO_TARGET = "\0";
var View = class {
  #queue = new Queue();
  #frame = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {(() => void)[]} */
  #waiting = [];
  /** @type {WeakMap<Element, Markdown>} */
  #markdown = /* @__PURE__ */ new WeakMap();
  /** Those with text that is not parsed yet. @type {Set<Markdown>} */
  #behind = /* @__PURE__ */ new Set();
  /** @param {Document | Element} [root] @param {ViewOptions} [options] */
  constructor(root = document, options = {}) {
    this.root = root;
    this.sanitize = options.sanitize ?? ((html) => sanitize(html, options.html));
    this.prefix = options.html?.prefix ?? PREFIX;
  }
  /** The number of pending updates. */
  get pending() {
    return this.#queue.size;
  }
  /** @param {Update} update @param {Element} [element] */
  apply(update, element) {
    for (const one of updatesOf(update)) this.#apply(one, element);
  }
  /** @param {any} update @param {Element} [element] */
  #apply(update, element) {
    const target = element ?? (update.op === "state" ? NO_TARGET : update.target);
    if (typeof target !== "string" && !(target instanceof Element)) return;
    this.#queue.add(update, target);
    if (this.#timer !== void 0) return;
    this.#timer = setTimeout(() => this.flush(), NO_FRAME_MS);
    this.#frame = requestAnimationFrame(() => this.flush());
  }
  /** Resolves when the updates that are pending now have been applied. @returns {Promise<void>} */
  written() {
    return this.pending ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve();
  }
  /** Applies pending updates at once. */
  flush() {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#timer = void 0;
    const entries = this.#queue.take();
    const scrolling = new Scrolling(entries.flatMap((entry) => this.#elements(entry.target)));
    for (const entry of entries) {
      try {
        this.#write(entry);
      } catch (error) {
        console.warn(`streamtask: the update ${entry.op} of ${String(entry.update.target)} could not be done:`, error);
      }
    }
    scrolling.restore();
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
  /** Marks every target that is still being written as complete, or as failed with `message`. @param {string} [message] */
  finish(message) {
    this.flush();
    for (const element of this.root.querySelectorAll("[data-stream-active]")) {
      if (message === void 0) this.apply({ op: "done", target: nameOf(element) }, element);
      else this.apply({ op: "error", target: nameOf(element), message }, element);
    }
    this.flush();
  }
  /** @param {string | Element} target @returns {Element[]} */
  #elements(target) {
    if (typeof target !== "string") return [target];
    if (target === NO_TARGET) return [];
    const name = CSS.escape(target);
    const selector = `[data-stream="${name}"], [dj-stream="${name}"]`;
    const below = [...this.root.querySelectorAll(selector)];
    return this.root instanceof Element && this.root.matches(selector) ? [this.root, ...below] : below;
  }
  /** @param {Entry} entry */
  #write(entry) {
    const { op, update } = entry;
    if (entry.isMoot && op !== "text") return;
    if (op === "state") return tell(this.root, "state", { state: update.state });
    for (const element of this.#elements(entry.target)) {
      if (op === "done" || op === "error") this.#catchUp(this.#markdown.get(element));
      if (entry.isMoot) activate(element);
      else if (op === "text") this.#text(element, entry);
      else if (op === "html") this.#html(element, String(update.html ?? ""));
      else if (op === "insert") this.#insert(element, entry);
      else if (op === "remove") remove(element, withPrefix(String(update.selector), this.prefix));
      else if (op === "prune") prune(element, update);
      else if (op === "start") start(element);
      else if (op === "done") done(element);
      else if (op === "error") fail(element, String(update.message ?? update.error ?? ""));
      else if (op === "line") lines(element, entry.pieces);
      else if (op === "progress") showProgress(element, update);
      else console.warn(`streamtask: there is no update ${JSON.stringify(op)}`);
    }
  }
  /** @param {Element} element @param {Entry} entry */
  #text(element, { update, pieces }) {
    const own = element.getAttribute("data-stream-mode") ?? element.getAttribute("dj-stream-mode");
    const mode = update.mode ?? own ?? "append";
    const text2 = mode === "replace" ? pieces.at(-1) : (mode === "prepend" ? pieces.toReversed() : pieces).join("");
    clearError(element);
    if (element.getAttribute("data-stream-format") === "markdown") this.#writeMarkdown(element, text2, mode);
    else writeText(element, text2, mode);
    activate(element);
    tell(element, "text", { text: text2, mode });
  }
  /** @param {Element} element @param {string} text @param {string} mode */
  #writeMarkdown(element, text2, mode) {
    const before = this.#markdown.get(element);
    const markdown = mode === "append" && before ? before : new Markdown(element);
    this.#markdown.set(element, markdown);
    if (mode !== "append") element.replaceChildren();
    markdown.append(mode === "prepend" ? text2 + (before?.source ?? "") : text2);
    if (!markdown.isBehind) return;
    if (this.#behind.size === 0) setTimeout(() => this.#catchUpAll(), CATCH_UP_MS);
    this.#behind.add(markdown);
  }
  #catchUpAll() {
    const behind = [...this.#behind];
    this.#behind.clear();
    const scrolling = new Scrolling(behind.map(({ element }) => element));
    for (const markdown of behind) this.#catchUp(markdown);
    scrolling.restore();
  }
  /** @param {Markdown | undefined} markdown */
  #catchUp(markdown) {
    if (markdown?.isBehind && this.#markdown.get(markdown.element) === markdown) markdown.catchUp();
  }
  /** @param {Element} element @param {string} html */
  #html(element, html) {
    clearError(element);
    this.#markdown.delete(element);
    element.replaceChildren(this.sanitize(html));
    tell(element, "update", { op: "replace" });
  }
  /** @param {Element} element @param {Entry} entry */
  #insert(element, { update, pieces, prune: pruning, pruned }) {
    const isPrepended = update.at === "prepend";
    const fragments = pieces.map((html) => this.sanitize(html));
    const later = fragments.slice(pruned).reduce((count, fragment) => count + fragment.childElementCount, 0);
    clearError(element);
    if (isPrepended) element.prepend(...fragments.reverse());
    else element.append(...fragments);
    if (pruning) prune(element, { ...pruning, limit: Math.max(0, Number(pruning.limit)) + later });
    tell(element, "update", { op: isPrepended ? "prepend" : "append" });
  }
};
function* updatesOf(data) {
  const left = [data];
  while (left.length > 0) {
    const one = left.pop();
    if (one === null || typeof one !== "object") continue;
    if (one.op !== "frame") yield one;
    else if (Array.isArray(one.ops)) for (const part of one.ops.toReversed()) left.push(part);
  }
}
function writeText(element, text2, mode) {
  if (mode === "replace") {
    element.textContent = text2;
  } else if (mode === "prepend") {
    element.prepend(text2);
  } else {
    const last = element.lastChild;
    if (last instanceof Text && last.length < TEXT_NODE_CHARS2) last.appendData(text2);
    else element.append(text2);
  }
}
function remove(element, selector) {
  for (const found of element.querySelectorAll(selector)) {
    tell(found, "remove", { stream: nameOf(element) });
    found.remove();
  }
}
function prune(element, { limit, edge }) {
  const tooMany = element.childElementCount - Math.max(0, Number(limit));
  for (let count = 0; count < tooMany; count += 1) {
    if (edge === "bottom") element.lastElementChild?.remove();
    else element.firstElementChild?.remove();
  }
}
function lines(element, pieces) {
  const limit = Number(element.getAttribute("data-stream-limit") ?? MAX_LINES);
  const made = pieces.slice(-limit).map(({ text: text2, level, source }) => {
    const line = document.createElement("div");
    line.className = "stream-line";
    if (level) line.setAttribute("data-level", level);
    if (source) line.setAttribute("data-source", source);
    line.textContent = text2;
    return line;
  });
  element.append(...made);
  prune(element, { limit });
}
function showProgress(element, { progress, id }) {
  const fraction = progress.fraction(id);
  const message = progress.items.get(id ?? "")?.message ?? "";
  if (!(element instanceof HTMLProgressElement)) {
    element.textContent = fraction === void 0 ? message : `${Math.floor(fraction * 100)} % ${message}`.trim();
  } else if (fraction === void 0) {
    element.removeAttribute("value");
  } else {
    element.max = 1;
    element.value = fraction;
  }
}

// page.js
var MAX_PENDING = 5e3;
var ACTIONS = (
  /** @type {const} */
  ["cancel", "pause", "resume"]
);
function connect(options = {}) {
  return new Connection(options);
}
function connectAll(page = document) {
  for (const root of page.querySelectorAll("[data-stream-run], [data-stream-url]")) {
    if (!connected.has(root)) connect({ root });
  }
}
var connected = /* @__PURE__ */ new WeakMap();
var Connection = class {
  #stop = new AbortController();
  #progress = new Progress();
  /** @param {ConnectOptions} options */
  constructor(options) {
    const { root = document, host, run, url, html, sanitize: sanitize2, signal, onEvent, ...following } = options;
    const element = root instanceof Element ? root : root.documentElement;
    const target = run ?? url ?? element.getAttribute("data-stream-run") ?? element.getAttribute("data-stream-url");
    if (!target) throw new TypeError("connect() needs a `run`, or a `root` with `data-stream-run`");
    connected.get(root)?.close();
    connected.set(root, this);
    this.root = root;
    this.element = element;
    this.onEvent = onEvent;
    this.view = new View(root, { html, sanitize: sanitize2 });
    const after = Number(element.getAttribute("data-stream-after") ?? "0");
    const interval = element.getAttribute("data-stream-interval");
    const intervalMs = interval === null ? void 0 : Number(interval);
    const ended = signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal;
    root.addEventListener("click", this.#onClick, { signal: ended });
    const whole = URL.canParse(String(target)) ? new URL(String(target)).origin : void 0;
    const own = target instanceof Run ? target.host : host ?? whole;
    this.host = own instanceof Host ? own : new Host(
      /** @type {string | URL | undefined} */
      own
    );
    this.target = target;
    this.done = this.#show({ after, intervalMs, ...following, host: this.host, signal: ended });
    this.done.catch((error) => console.error("streamtask:", error));
  }
  /** Closes the connection; the run continues. */
  close() {
    this.#stop.abort(new DOMException("the connection was closed", "AbortError"));
  }
  /** @param {import('../streamtask.d.ts').FollowOptions} options @returns {Promise<StreamEvent | undefined>} */
  async #show(options) {
    let end;
    const onState = (state) => this.#tell("connection", state, "data-stream-connection", state.state);
    try {
      for await (const events of followBatches(this.target, { onState, ...options })) {
        for (const event of events) this.#take(event);
        const last = events.at(-1);
        if (last && isEnd(last)) end = /** @type {StreamEvent} */
        last;
        else if (this.view.pending > MAX_PENDING) await this.view.written();
      }
    } catch (error) {
      this.view.flush();
      if (this.#stop.signal.aborted || options.signal?.aborted) return void 0;
      this.#tell("connection", { state: "failed", error }, "data-stream-connection", "failed");
      throw error;
    }
    this.#finish(end);
    return end;
  }
  /** @param {StreamEvent | Notice} event */
  #take(event) {
    this.onEvent?.(event);
    if (event.type === "view") return this.view.apply(event.data);
    if (event.type === "progress") {
      this.#progress.update(event.data);
      this.#showProgress();
    } else if (isEnd(event)) {
      this.#progress.close(event.type.replace("run.", ""));
      this.#showProgress();
    }
    this.#showLine(event);
    this.root.dispatchEvent(new CustomEvent("stream:event", { bubbles: true, detail: event }));
  }
  /** Shows an event as a line in elements that request its type. @param {StreamEvent | Notice} event */
  #showLine({ type, data }) {
    for (const element of this.root.querySelectorAll(`[data-stream-events~="${CSS.escape(type)}"]`)) {
      const text2 = typeof data === "string" ? data : data?.message ?? JSON.stringify(data);
      this.view.apply({ op: "line", text: String(text2), level: data?.level, source: data?.stream }, element);
    }
  }
  #showProgress() {
    if (this.#progress.items.size === 0) return;
    for (const element of this.root.querySelectorAll("[data-stream-progress]")) {
      const id = element.getAttribute("data-stream-progress") || void 0;
      this.view.apply({ op: "progress", id, progress: this.#progress }, element);
    }
  }
  /** Marks targets that are still being written as finished. @param {StreamEvent} [end] */
  #finish(end) {
    const status = end?.type.replace("run.", "") ?? "ended";
    this.view.finish(status === "failed" ? String(end?.data?.error?.message ?? "the run failed") : void 0);
    this.#tell("end", { status, event: end }, "data-stream-status", status);
  }
  /** @param {string} what @param {unknown} detail @param {string} attribute @param {string} value */
  #tell(what, detail, attribute, value) {
    this.element.setAttribute(attribute, value);
    this.root.dispatchEvent(new CustomEvent(`stream:${what}`, { bubbles: true, detail }));
  }
  /** @param {Event} event */
  #onClick = async (event) => {
    const button = event.target instanceof Element ? event.target.closest("[data-stream-action]") : null;
    const action = ACTIONS.find((name) => name === button?.getAttribute("data-stream-action"));
    if (!button || !action) return;
    event.preventDefault();
    try {
      await this.#run()[action]();
    } catch (error) {
      console.warn(`streamtask: ${action}:`, error);
    }
  };
  /** The run that is shown: a stream's URL ends with its ID. */
  #run() {
    const { target } = this;
    if (target instanceof Run) return target;
    if (typeof target === "object" && "id" in target) return this.host.run(String(target.id));
    const text2 = String(typeof target === "object" && "stream" in target ? target.stream : target);
    return this.host.run(text2.replace(/[?#].*/s, "").split("/").at(-1) ?? "");
  }
};
if (globalThis.document) {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => connectAll());
  else connectAll();
}
export {
  Host,
  HostError,
  Progress,
  Run,
  RunError,
  View,
  connect,
  connectAll,
  follow,
  followBatches,
  isEnd,
  retryNow,
  sanitize,
  updatesOf
};
